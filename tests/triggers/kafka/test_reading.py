"""What keys, values and headers of records are to a flow, whatever is in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.triggers.firing import Firing
from jetfleet.broker.triggers.source import SourceBroken
from jetfleet.schemas.flow.triggers.kafka import KafkaParams
from jetfleet.triggers.kafka.offsets import Offsets
from jetfleet.triggers.kafka.records import Reading

DECODERS = """
def decode(value, headers):
    if headers["schema"] != b"7":
        raise LookupError("an unknown schema")
    return {"id": value[5]}


NO_FUNCTION = 1
"""


def read(value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), key: bytes | None = None, **params: Any) -> Firing:
    given = KafkaParams.model_validate({"brokers": "b:1", "group_id": "g", "topic": "t", **params})
    return Reading(given).firing(ConsumerRecord("t", 3, 41, 1_700_000_000_000, 0, key, value, None, 0, 0, tuple(headers)), None)


@pytest.mark.parametrize(
    ("format", "value", "payload"),
    [
        ("json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("msgpack", msgspec.msgpack.encode({"a": b"\xff"}), {"a": b"\xff"}),
        ("text", "grün".encode(), "grün"),
        ("raw", b'{"a": 1}', b'{"a": 1}'),
        ("auto", b'{"a": 1}', {"a": 1}),
        ("auto", b"7", 7),
        ("auto", b"[INFO] started", "[INFO] started"),
        ("auto", b"\x00\x00\x00\x00\x07\xff", b"\x00\x00\x00\x00\x07\xff"),
        ("auto", b"", ""),
        ("auto", b"[" * 100_000, "[" * 100_000),
        ("json", None, None),
    ],
)
def test_values_are_what_the_format_says(format: str, value: bytes | None, payload: Any) -> None:
    firing = read(value, format=format)
    assert firing.error is None and firing.payload == payload and firing.key == "t/3/41"


@pytest.mark.parametrize(
    ("kind", "value", "payload"),
    [
        (b"application/json; charset=utf-8", b'"a"', "a"),
        (b"application/cloudevents+json", b"1", 1),
        (b"application/msgpack", b"\x01", 1),
        (b"application/x-msgpack", b"\x01", 1),
        (b"text/plain", b"7", "7"),
        (b"application/octet-stream", b"7", b"7"),
        (b"application/pdf", b"7", 7),
    ],
)
def test_a_content_type_decides_where_the_format_is_auto(kind: bytes, value: bytes, payload: Any) -> None:
    firing = read(value, [("Content-Type", kind)])
    assert firing.error is None and firing.payload == payload


@pytest.mark.parametrize(
    ("params", "value", "headers"),
    [
        ({"format": "json"}, b'{"a": ', ()),
        ({"format": "json"}, b"", ()),
        ({"format": "json"}, b"[" * 100_000, ()),
        ({"format": "json"}, b'"\xff"', ()),
        ({"format": "msgpack"}, b"\xc1", ()),
        ({"format": "text"}, b"\xff", ()),
        ({}, b"{", [("content-type", b"application/json")]),
    ],
)
def test_what_cannot_be_read_is_a_firing_with_the_reason_and_the_bytes(params: dict[str, Any], value: bytes, headers: Any) -> None:
    firing = read(value, headers, **params)
    assert firing.payload == value and firing.error is not None
    assert firing.error.code == "UNREADABLE_RECORD" and "t/3/41" in str(firing.error) and firing.meta["offset"] == 41


@pytest.mark.parametrize(
    ("params", "key", "told"),
    [
        ({}, b"a", "a"),
        ({}, b"\xff", b"\xff"),
        ({"key_format": "json"}, b'{"id": 1}', {"id": 1}),
        ({"key_format": "raw"}, b"a", b"a"),
        ({}, None, None),
    ],
)
def test_a_key_that_cannot_be_read_is_told_as_it_is(params: dict[str, Any], key: bytes | None, told: Any) -> None:
    assert read(b"1", key=key, **params).meta["key"] == told


def test_a_decoder_of_ones_own_reads_values_with_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shop_formats.py"
    file.write_text(DECODERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (f"{file}:decode", "shop_formats:decode", "shop_formats.py:decode"):
        assert read(b"\x00\x00\x00\x00\x07A", [("schema", b"7")], decoder=name).payload == {"id": 65}
        refused = read(b"\x00", [("schema", b"8")], decoder=name)
        assert refused.error is not None and "an unknown schema" in str(refused.error)
        assert read(None, decoder=name).payload is None


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ("nowhere_at_all:decode", "No module"),
        ("missing.py:decode", "missing.py"),
        ("{file}:nope", "nope"),
        ("{file}:NO_FUNCTION", "no function"),
    ],
)
def test_a_decoder_that_cannot_be_loaded_breaks_the_source(tmp_path: Path, decoder: str, reason: str) -> None:
    file = tmp_path / "formats.py"
    file.write_text(DECODERS)
    with pytest.raises(SourceBroken, match=reason):
        read(b"1", decoder=decoder.format(file=file))


@given(gaps=st.lists(st.integers(1, 5), min_size=1, max_size=30), data=st.data())
def test_whatever_the_order_of_confirmations_no_record_that_is_open_is_committed(gaps: list[int], data: st.DataObject) -> None:
    places = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    offsets, open, fired = Offsets(), set(), iter(places)
    assert offsets.committable() is None and offsets.idle
    offsets.taken(places[-1])
    committed = 0
    for _ in range(2 * len(places)):
        if open and data.draw(st.booleans()):
            done = data.draw(st.sampled_from(sorted(open)))
            open.remove(done)
            offsets.confirmed(done)
        elif (place := next(fired, None)) is not None:
            open.add(place)
            offsets.fired(place)
        committable = offsets.committable() or 0
        assert committed <= committable and all(committable <= place for place in open)
        assert offsets.idle == (not open and committable == places[-1] + 1)
        committed = committable
