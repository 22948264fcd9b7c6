"""Targets: what travels between the processes of a fleet, as anybody can publish it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from jetfleet.broker.api import endings
from jetfleet.broker.client.message import Message, parse_headers
from jetfleet.broker.client.stored import from_document, time_ns
from jetfleet.broker.content import UnreadableEvent, payload_of, value_of
from jetfleet.broker.coordinator import collection_questions, limit_questions, questions, waiting_questions
from jetfleet.broker.coordinator.answering import UNANSWERED
from jetfleet.broker.coordinator.events import read_events
from jetfleet.broker.coordinator.signal_intake import Unplaceable, read_signal
from jetfleet.broker.coordinator.snapshots import Manifest, Segment, _manifest
from jetfleet.broker.deployment import Deployed
from jetfleet.broker.read_model.changes import Changes
from jetfleet.broker.tokens import Secrets
from jetfleet.broker.triggers.cron.tick import Tick
from jetfleet.schemas import effects, messages, records
from jetfleet.schemas.codec import decode_batch, decode_effect, decode_record, encode_record
from jetfleet.schemas.errors import UnencodableValue, UnreadableRecord
from jetfleet.schemas.payload import encode

from .target import Target, text

NOW_MS = 1_790_000_000_000
ERROR = records.Error("boom", "it broke", False, "charge", 3, {"a": 1})
START = records.RunStarted(
    "orders-1",
    NOW_MS,
    "orders",
    "d" * 64,
    "api",
    encode({"n": 1}),
    encode(None),
    ("top-1", (0, 1)),
    "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
)
RECORDS: tuple[records.Record, ...] = (
    START,
    records.Completion("orders-1", NOW_MS, (0, 2), 1, "out", encode({"total": 5}), None, None, "worker-1", 1_200),
    records.Completion("orders-1", NOW_MS, (1,), 2, "error", encode(None), ERROR, 500, "worker-1", 9),
    records.TimerFired("orders-1", NOW_MS, records.TimerId((1,), "retry", 1)),
    records.SignalReceived("orders-1", NOW_MS, "approve", encode({"by": "ann"}), "id-1", 1),
    records.EventReceived("", NOW_MS, "paid", encode({"order": 5}), "id-2"),
    records.ChildEnded("orders-1", NOW_MS, (2,), 1, "orders-1.2", "failed", encode(1), ERROR),
    records.CancelRequested("orders-1", NOW_MS, "no longer wanted", True),
    records.PauseRequested("orders-1", NOW_MS, "a look", True),
    records.ResumeRequested("orders-1", NOW_MS, True),
    records.RunReopened("orders-1", NOW_MS, 4, (2, 3), ((7, 0, 0),), "orders-0", "again"),
    records.SlotGranted("orders-1", NOW_MS, (1,), 1, "node:orders:charge:", NOW_MS + 5, ""),
    records.SlotWanted("node:orders:charge:", NOW_MS, "orders-1", (1,), 1, 5, "queue", 1_000, 10, 3, "ann"),
    records.SlotReleased("node:orders:charge:", NOW_MS, "orders-1", (1,), 1),
    records.EventCollected("=collect:orders:ann", NOW_MS, START),
    records.CollectionStarted("=collect:orders:ann", NOW_MS, "orders-1"),
)  # fmt: skip
TIMER = records.TimerId((1,), "wait", 1)
EFFECTS: tuple[effects.Effect, ...] = (
    effects.Dispatch("orders-1", (0,), 1, encode({"n": 1}), (encode(1),)),
    effects.CancelTask("orders-1", (0,), 1),
    effects.SetTimer("orders-1", TIMER, NOW_MS),
    effects.ClearTimer("orders-1", TIMER),
    effects.Await("orders-1", (1,), "approval", "approve", encode({"amount": 5}), NOW_MS, ("ann",), 1, (("order", "5"),)),
    effects.StopAwaiting("orders-1", (1,), "approval", "approve", 1, effects.Outcome("approve", NOW_MS, "ann", "fine", False, "id-1"), (("order", "5"),)),
    effects.StartChild("orders-1", (2,), 1, "orders-1.2", "parts", "1", encode(None), True),
    effects.CancelChild("orders-1", "orders-1.2", "no longer wanted", True),
    effects.Emit("orders-1", (3,), "shop.paid", encode({"order": 5}), "id-3"),
    effects.FinishRun("orders-1", "failed", encode(None), ERROR),
    effects.WantSlot("orders-1", (1,), 1, "node:orders:charge:", 5, "queue", 1_000, 10, 3, "ann"),
    effects.ReleaseSlot("orders-1", (1,), 1, "node:orders:charge:"),
)  # fmt: skip
RAW = [msgspec.Raw(encode_record(record)) for record in RECORDS]
SUMMARY = messages.Summary(
    "orders", "1", "d" * 64, "failed", "api", NOW_MS, NOW_MS + 5, encode({"a": 1}), ERROR, 16, "top-1", "", "orders-0"
)
DRAIN = messages.Drain(NOW_MS, NOW_MS + 1, NOW_MS + 2, "maintenance")
MESSAGES: tuple[msgspec.Struct, ...] = (
    messages.Task("orders-1", (0, 2), 1, "d" * 64, encode({"n": 1}), (encode("x"),), True, "trace"),
    messages.AttemptId("orders-1", (0, 2), 1),
    messages.BatchedEvent("key-1", encode({"n": 1}), "trace", encode({"a": "b"})),
    messages.Part("orders-1", 0, RAW, SUMMARY, b"c" * 32),
    messages.Ended("orders-1", "failed", NOW_MS, encode(1), ERROR, 4),
    messages.DeadLetter("event", "UNREADABLE_EVENT", "no JSON", "events.orders.api", b"{", NOW_MS, {"Nats-Msg-Id": "a"}, "EVENTS sequence 4"),
    messages.Definition("orders", "1", "d" * 64, b'{"name":"orders","nodes":{"a":{"type":"set"}}}', {"mine": ("out", "other")}, NOW_MS),
    messages.Current("orders", "1", "d" * 64, NOW_MS, "e" * 64, 12.5, ("c" * 64,)),
    messages.FlowState("orders", "draining", "maintenance", NOW_MS, True, NOW_MS, DRAIN, {"d" * 64: DRAIN}),
    messages.TriggerState("orders", "api", "paused", "maintenance", NOW_MS),
    messages.Member("worker-1", "worker", "host", "boot", 4711, "0.1.0", NOW_MS, 2_000, NOW_MS, False, {"queues": ["default"], "slots": 4}, 99),
    messages.Lease("coordinator-1", NOW_MS, 3),
    messages.RunView("orders-1", "orders", "1", "d" * 64, "running", "api", NOW_MS, NOW_MS, None, encode(None), ERROR, [("a", "running", None, 1)], [("a", "timer", "", NOW_MS)], 3, RAW, "top-1"),
)  # fmt: skip
HEAD = b"NATS/1.0\r\nNats-Msg-Id: order-1\r\nContent-Type: application/json\r\ntraceparent: 00-ab\r\nX-Mine: a, b\r\n\r\n"
DELIVERED = "$JS.ACK.EVENTS.flow-orders.1.17.17.1790000000000000000.0"
SEPARATOR = b"\r\n\r\n"
"""In the cases of targets that read a whole message: between its headers and its body."""


def message(subject: str, data: bytes) -> Message:
    """A message whose headers and body are both made up by whoever sent it."""
    head, _, body = data.partition(SEPARATOR)
    return Message(None, subject, DELIVERED, body, head + SEPARATOR)  # type: ignore[arg-type]


def _of_type(kind: type[msgspec.Struct]) -> Target:
    seeds = [messages.encode(each) for each in MESSAGES if type(each) is kind]
    return Target(f"message {kind.__name__}", lambda data: messages.encode(messages.decode(kind, data)), lambda: seeds, (UnreadableRecord,))


def _question(name: str, decoder: Any, *examples: Any) -> Target:
    return Target(f"question {name}", decoder.decode, lambda: [msgspec.msgpack.encode(each) for each in examples], UNANSWERED)


def _changes(stream: str, subject: str) -> Callable[[bytes], Any]:
    return lambda data: Changes(4, {}).take(stream, 1, subject, data)


def _batches() -> Sequence[bytes]:
    return [messages.encode_all(RECORDS), messages.encode_all(RECORDS[:1]), messages.encode_all([])]


def _with_head(head: bytes, *bodies: bytes) -> Callable[[], Sequence[bytes]]:
    return lambda: [head.rstrip() + SEPARATOR + body for body in bodies]


_events = messages.encode_all([MESSAGES[2], messages.BatchedEvent("")])
_letters = messages.encode(MESSAGES[5])
_JSONS = (b'{"order": 5, "lines": [1, 2.5, "x", null, true]}', b"[]", b'"text"', b"")
_BATCH_HEAD = b"NATS/1.0\r\nJetfleet-Batch: 1\r\nNats-Msg-Id: b-1"
_BODIES = (*_JSONS, encode({"order": 5, "at": 1.5}))
_TEXTS = (b"NATS/1.0\r\nContent-Type: text/plain; charset=latin-1", b"NATS/1.0\r\nContent-Type: text/plain; charset=utf-7")

TARGETS = (
    Target("record", lambda data: encode_record(decode_record(data)), lambda: [bytes(raw) for raw in RAW], (UnreadableRecord,)),
    Target("batch of records", decode_batch, _batches, (UnreadableRecord,)),
    Target("effect", decode_effect, lambda: [messages.encode(each) for each in EFFECTS], (UnreadableRecord,)),
    *map(_of_type, dict.fromkeys(type(each) for each in MESSAGES)),
    Target("batch", messages.split, lambda: [*_batches(), _events], (UnreadableRecord,)),
    Target("secrets", lambda data: messages.decode(Secrets, data), lambda: [msgspec.msgpack.encode([[[b"k" * 32, NOW_MS], [b"l" * 32, NOW_MS]]])], (UnreadableRecord,)),
    Target("topology", lambda data: messages.decode(Deployed, data), lambda: [messages.encode(Deployed(1, 4, 1, 1 << 30, NOW_MS))], (UnreadableRecord,)),
    Target("tick", lambda data: messages.decode(Tick, data), lambda: [messages.encode(Tick(NOW_MS, "api", NOW_MS, 1, NOW_MS, True, NOW_MS))], (UnreadableRecord,)),
    Target("notices of ended runs", endings._read, lambda: [messages.encode_all([MESSAGES[4], MESSAGES[4]])], ()),
    Target("event", lambda data: list(read_events(message("events.orders.api", data), "orders")), lambda: [*_with_head(HEAD, *_JSONS)(), *_with_head(_BATCH_HEAD, _events)()], (UnreadableEvent,)),
    Target("signal", lambda data: encode_record(read_signal(message("signals.orders-1.approve", data))), _with_head(HEAD, *_JSONS), (UnreadableEvent, Unplaceable)),
    Target("content of an event", lambda data: payload_of(data, ""), lambda: _BODIES, (UnreadableEvent,)),
    Target("content of a message", lambda data: encode(value_of(message("queue.q", data).data, message("queue.q", data).headers.get("Content-Type", ""))),
           lambda: [*_with_head(HEAD, *_JSONS)(), *[each for head in _TEXTS for each in _with_head(head, b"text +AGE-")()]], (UnreadableEvent, UnencodableValue)),
    Target("headers", parse_headers, lambda: [HEAD], ()),
    Target("status line", lambda data: (message("x", data).status, message("x", data).status_text), lambda: [b"NATS/1.0 503\r\n\r\n", b"NATS/1.0 409 Consumer Deleted\r\n\r\n"], ()),
    Target("stored message", lambda data: from_document(msgspec.json.decode(data)),
           lambda: [b'{"subject": "a.b", "seq": 4, "hdrs": "TkFUUy8xLjANCkE6IGINCg0K", "data": "e30=", "time": "2026-01-02T03:04:05.123456789Z"}'], (ValueError, LookupError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError)),
    Target("time of a message", text(time_ns), lambda: [b"2026-01-02T03:04:05.123456789Z", b"2026-01-02T03:04:05+01:00"], (ValueError,)),
    _question("verify", questions._attempts, [("orders-1", (0, 2), 1)]),
    _question("run", questions._run, ("orders-1",)),
    _question("open", questions._runs, ["orders-1", "orders-2"]),
    _question("count", questions._flow, ("orders",), (None,)),
    _question("waiting", waiting_questions._question, ("approval", 50, "orders", "ann", "approve", "orders-1", ("orders-1", 3))),
    _question("decided", waiting_questions._wait, ("orders-1", 3)),
    _question("takes", waiting_questions._signals, [RECORDS[4]]),
    _question("joined", collection_questions._event, ("=collect:orders:ann", "orders-1")),
    _question("collections", collection_questions._flow, "orders"),
    _question("slots", limit_questions._claimed, [("orders-1", (1,), 1, "node:orders:charge:")]),
    _question("limits", limit_questions._question, ("node:", "")),
    Target("manifest of snapshots", lambda data: _manifest(data, 0), lambda: [messages.encode(Manifest(1, 77, "epoch", [Segment(1, 5, "ab")], NOW_MS))], (UnreadableRecord,)),
    Target("read model, WAL", _changes("WAL_1", "wal.1"), _batches, ()),
    Target("read model, HISTORY", _changes("HISTORY", "history.orders"), lambda: [messages.encode_all([MESSAGES[3], messages.Part("orders-1", 0, RAW)])], ()),
    Target("read model, DEAD", _changes("DEAD", "dead.event"), lambda: [_letters], ()),
)  # fmt: skip
