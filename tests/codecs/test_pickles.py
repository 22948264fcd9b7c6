"""Pickles: refused unless the process allows them, with a warning, and with large buffers where they lie."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
import structlog

from jetfleet.broker.codecs import pickled
from jetfleet.broker.codecs.registry import codec_for, codec_named, from_coded, to_coded
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload_errors import PayloadCorrupt, UnknownCodec
from jetfleet.schemas.ref import Coded

from .memory import address, body_of, picked, there_and_back


class Model:
    """What only pickle knows."""

    def __init__(self, weights: Any) -> None:
        self.weights = weights


class Unwilling:
    def __reduce__(self) -> str:
        raise RuntimeError("not me")


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_PICKLE", "allow")
    monkeypatch.setattr(pickled, "_warned", set())


def test_nothing_is_pickled_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in (None, "", "1", "deny"):
        monkeypatch.delenv("JETFLEET_PICKLE", raising=False) if setting is None else monkeypatch.setenv("JETFLEET_PICKLE", setting)
        assert codec_for(Model(1)) is None
        with pytest.raises(UnencodableValue, match="of class Model has no form as bytes"):
            to_coded(Model(1))


def test_nothing_is_unpickled_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch, allowed: None) -> None:
    coded = to_coded(Model(1))
    assert coded.codec == "pickle"
    monkeypatch.delenv("JETFLEET_PICKLE")
    with pytest.raises(UnknownCodec, match="set JETFLEET_PICKLE=allow"):
        from_coded(coded)
    with pytest.raises(UnknownCodec, match="set JETFLEET_PICKLE=allow"):
        codec_named("pickle").pick(memoryview(coded.body), coded.meta, ("a",))


@pytest.mark.usefixtures("allowed")
def test_anything_else_comes_back_and_what_has_a_codec_keeps_it() -> None:
    assert there_and_back(Model({"a": 1})).weights == {"a": 1}
    assert there_and_back(collections.deque([1, 2])) == collections.deque([1, 2])
    assert [getattr(codec_for(value), "name", None) for value in (b"", {}, 1, np.arange(2), Model(1))] == [
        "bytes", None, None, "numpy", "pickle",
    ]  # fmt: skip


@pytest.mark.usefixtures("allowed")
def test_an_array_in_an_object_is_neither_copied_into_the_pickle_nor_out_of_the_body() -> None:
    weights = np.arange(10_000.0)
    encoded = codec_named("pickle").encode(Model(weights))
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), weights) for part in encoded.parts)
    body = body_of(encoded)
    found = codec_named("pickle").decode(body, encoded.meta).weights
    assert found.ctypes.data in address(body)
    assert (found == weights).all()
    assert not found.flags.writeable


@pytest.mark.usefixtures("allowed")
def test_each_type_is_warned_about_once() -> None:
    with structlog.testing.capture_logs() as lines:
        for value in (Model(1), Model(2), collections.deque()):
            codec_named("pickle").encode(value)
    assert [(line["log_level"], line["type"].rpartition(".")[2]) for line in lines] == [("warning", "Model"), ("warning", "deque")]


@pytest.mark.usefixtures("allowed")
def test_what_cannot_be_pickled_is_refused_with_its_type() -> None:
    for value in (Unwilling(), lambda: 1, (item for item in ())):
        with pytest.raises(UnencodableValue, match="cannot be pickled"):
            codec_named("pickle").encode(value)


@pytest.mark.usefixtures("allowed")
def test_a_pickle_that_is_cut_or_changed_is_corrupt() -> None:
    encoded = codec_named("pickle").encode(Model(np.arange(100.0)))
    body = encoded.body()
    for wrong, meta in ((body[:-1], encoded.meta), (b"", encoded.meta), (body, b"\x90"), (body, b""), (b"\xff" + body[1:], encoded.meta)):
        with pytest.raises(PayloadCorrupt):
            codec_named("pickle").decode(memoryview(wrong), meta)
    with pytest.raises(PayloadCorrupt):
        from_coded(Coded("pickle", b"\x92\xff\x02", b"x"))


@pytest.mark.usefixtures("allowed")
def test_a_path_leads_into_what_is_a_map() -> None:
    assert picked(collections.OrderedDict(a=[1, 2]), "a", 1) == 2
    coded = codec_named("pickle").encode({"a": [1, 2]})
    assert codec_named("pickle").pick(body_of(coded), coded.meta, ("a", 1)) == 2
