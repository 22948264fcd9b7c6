"""Reading events: every form that an event may have, and nothing but typed errors for anything else."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.coordinator.events import Event, UnknownTrigger, UnreadableEvent, read_events, start_of
from jetfleet.schemas.errors import EventRejected, JetfleetError
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from jetfleet.schemas.messages import BatchedEvent, encode_all
from jetfleet.schemas.payload import NULL, decode, encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.ref import Ref
from jetfleet.schemas.subjects import run_id


def plan(**blocks: Any) -> Plan:
    triggers = [{"id": "web", "type": "manual"}, {"id": "other", "type": "manual", "enabled": False}]
    edges = [{"from": "web", "to": "a"}, {"from": "other", "to": "a"}]
    return compile_flow(
        Flow.model_validate({"name": "orders", "triggers": triggers, "nodes": {"a": {"type": "t.a"}}, "edges": edges, **blocks})
    )


PLAN = plan()
CHECKED = plan(inputs={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}})


def read(data: bytes, headers: Mapping[str, str] | None = None, subject: str = "events.orders.web") -> list[Event]:
    message: Any = SimpleNamespace(data=data, headers=headers or {}, subject=subject, stream_seq=7, timestamp_ns=99)
    return list(read_events(message, "orders"))


def only(data: bytes, headers: Mapping[str, str] | None = None, subject: str = "events.orders.web") -> Event:
    (event,) = read(data, headers, subject)
    return event


def test_json_is_the_usual_form() -> None:
    event = only(b'{"n": 1}', {"Nats-Msg-Id": "A-1", "traceparent": "00-aa-bb-01"})
    assert (event.trigger, event.key, decode(event.payload), event.trace) == ("web", "A-1", {"n": 1}, "00-aa-bb-01")


def test_msgpack_is_taken_as_such_if_the_header_says_so_or_no_json_begins_like_it() -> None:
    value = {"n": [1, 2.5, None, "ä"]}
    data = msgpack.packb(value)
    assert decode(only(data, {"Content-Type": "application/msgpack"}).payload) == value
    assert decode(only(data).payload) == value
    with pytest.raises(UnreadableEvent):
        only(data, {"Content-Type": "application/json"})


def test_an_empty_message_is_an_event_with_null() -> None:
    assert only(b"").payload == NULL


def test_the_subject_names_the_trigger_or_none() -> None:
    assert only(b"1", subject="events.orders").trigger is None
    assert only(b"1", subject="events.orders.a.b").trigger == "a.b"


def test_an_event_without_a_key_is_known_by_its_place_in_the_stream() -> None:
    assert only(b"1").key == only(b"1").key
    batch = encode_all([BatchedEvent("", NULL), BatchedEvent("", NULL), BatchedEvent("own", NULL)])
    keys = [event.key for event in read(batch, {"Jetfleet-Batch": "1"})]
    assert len(set(keys)) == 3 and keys[2] == "own" and only(b"1").key not in keys


def test_each_event_of_a_batch_has_its_own_key_payload_and_trace() -> None:
    batch = encode_all([BatchedEvent(f"k{number}", encode(number), f"trace {number}") for number in range(3)])
    events = read(batch, {"Jetfleet-Batch": "1", "Nats-Msg-Id": "of the whole"})
    assert [(event.key, decode(event.payload), event.trace) for event in events] == [(f"k{n}", n, f"trace {n}") for n in range(3)]


def test_a_trigger_sees_the_headers_of_others_and_not_the_brokers() -> None:
    headers = {"Nats-Msg-Id": "x", "Jetfleet-Deaths": "1", "X-Shop": "berlin"}
    assert decode(only(b"1", headers).meta) == {"headers": {"X-Shop": "berlin"}}
    assert only(b"1", {"Nats-Msg-Id": "x"}).meta == NULL


@pytest.mark.parametrize("data", [b"{", b"\xc1", b"nonsense", b'{"a": 1} trailing', b"\x81", b'"\xff"', b"[" * 20_000])
def test_bytes_that_are_neither_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        only(data)


def test_json_may_begin_with_a_byte_order_mark() -> None:
    assert decode(only(b'\xef\xbb\xbf{"n": 1}').payload) == {"n": 1}
    with pytest.raises(UnreadableEvent):
        only(b"\xef\xbb\xbf" * 100_000)


def test_media_types_are_compared_without_regard_to_case() -> None:
    assert decode(only(msgpack.packb({"n": 1}), {"content-type": "Application/MsgPack"}).payload) == {"n": 1}


@pytest.mark.parametrize("type", ["application/cbor", "text/plain", "application/gzip"])
def test_what_is_neither_is_refused_with_its_type_in_the_reason(type: str) -> None:
    with pytest.raises(UnreadableEvent, match=f"an event is JSON or msgpack, whatever its Content-Type '{type}' says"):
        only(b"\xa1\x61n\x01", {"Content-Type": type})


NOWHERE = encode({"rows": Ref("bytes", 3, 0)})
BROKEN_REF = msgpack.packb({"rows": msgpack.ExtType(1, b"no ref")})


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/msgpack"}])
def test_a_ref_that_nobody_can_read_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnreadableEvent, match="ref"):
        only(BROKEN_REF, headers)


@pytest.mark.parametrize(
    "batch",
    [
        b"",
        encode_all([BatchedEvent("k", BROKEN_REF)]),
        encode_all([BatchedEvent("k", NOWHERE)]),
        b"\xc1",
        b"{}",
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([["k"], ["k", b"\xc1"]]),
        msgspec.msgpack.encode([["k", b""]]),
    ],
)
def test_a_batch_with_anything_else_in_it_is_refused_as_a_whole(batch: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        read(batch, {"Jetfleet-Batch": "1"})


@given(
    st.binary(max_size=200), st.sampled_from([{}, {"Jetfleet-Batch": "1"}, {"Content-Type": "application/msgpack"}, {"Content-Type": "?"}])
)
def test_only_typed_errors_come_of_any_bytes(data: bytes, headers: dict[str, str]) -> None:
    try:
        for event in read(data, headers):
            decode(event.payload)
            for each in (PLAN, CHECKED):
                start_of(event, each, 1)
    except JetfleetError:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=15,
    )
)
def test_json_and_msgpack_of_a_value_are_the_same_event(value: Any) -> None:
    json = only(msgspec.json.encode(value))
    packed = only(msgspec.msgpack.encode(value), {"Content-Type": "application/msgpack"})
    assert decode(json.payload) == decode(packed.payload)


def test_a_run_is_made_of_flow_key_and_the_version_that_is_deployed() -> None:
    record = start_of(only(b'{"n": 1}', {"Nats-Msg-Id": "A-1"}), PLAN, 17)
    assert (record.run, record.at, record.flow, record.digest, record.trigger) == (
        run_id("orders", "A-1"),
        17,
        "orders",
        PLAN.digest,
        "web",
    )


def test_a_trigger_that_the_flow_has_not_or_that_is_disabled_is_refused() -> None:
    for name in ("nobody", "other"):
        with pytest.raises(UnknownTrigger):
            start_of(only(b"1", subject=f"events.orders.{name}"), PLAN, 1)


def test_a_payload_against_the_schema_or_too_large_is_refused() -> None:
    with pytest.raises(EventRejected):
        start_of(only(b'{"n": "one"}'), CHECKED, 1)
    with pytest.raises(EventRejected, match="put large data elsewhere"):
        start_of(only(b'"' + b"x" * PAYLOAD_INLINE_MAX_BYTES + b'"'), PLAN, 1)
