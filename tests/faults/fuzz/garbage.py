"""Garbage: what somebody may publish who has an account and means no harm, or does: on every subject, with every kind of body and headers.

Some of it is well-formed and says something that is not so. Messages go out as bytes, past the checks of any client, so that also
subjects that are no text arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from .mutations import mutated
from .targets import TARGETS
from .wire import TARGETS as OF_WIRE

SUBJECTS = (
    "events.good", "events.good.go", "events.good.no_such", "events.nobody.go", "events.good.a.b.c", "events.ünï.go", "events.good.\x01", "events", "queue.letters", "queue.letters.eu.x", "on.shop.paid", "on.x",
    "wal.0", "wal.1", "wal.77", "wal.x", "tasks.default", "tasks.default.host", "tasks.nobody", "signals.good-1.ok", "signals.x", "signals..ok", "awaited.paid", "awaited.x.y",
    "approval.good", "history.good", "history.nobody", "member.x", "member.coordinator-1", "lease.77", "lease.x", "lease.²", "lease.٣", "flow.nobody", "flow.x.state", "flow.good.x", "plan.x", "trigger.good.x", "trigger.good.a.b", "trigger.good.ünï", "trigger.x",
    "dead.event", "dead.x", "fired.0", "fired.x", "fired.²", "fired." + "9" * 3_000, "tick.good.go", "tick.nobody.x", "cron.good.x", "timer.0.x", "snapshot.0.x", "snapshot.77.manifest", "progress.x",
    "object.meta.x", "object.chunk.x.0", "object.pin.x.y", "secret.x", "ended.0", "ended.x", "cancel", "verify.0", "verify.1", "run.0", "open.0", "count.0", "joined.0", "collections.0", "slots.0", "limits.0",
    "waiting.0", "decided.0", "takes.0", "upload.x", "query.runs", "query.run", "query.flows", "query.dead", "query.reader", "query.x",
)  # fmt: skip
NO_TEXT = (
    b"events.good.\xff",
    b"signals.\xff.ok",
    b"awaited.\xff",
    b"queue.letters.\xff",
    b"on.\xff.x",
    b"member.\xff",
    b"lease.\xff",
    b"flow.\xff",
    b"history.\xff",
    b"dead.\xff",
    b"fired.\xff",
    b"tick.\xff.x",
    b"ended.\xff",
    b"verify.\xff",
)
"""Subjects that are no UTF-8: the server takes them."""
HEADS = (
    b"", b"NATS/1.0\r\nContent-Type: application/msgpack\r\n\r\n", b"NATS/1.0\r\nJetfleet-Batch: 1\r\n\r\n", b"NATS/1.0\r\nNats-Msg-Id: \x00\x1b[2J\xff\r\nNats-Msg-Id: twice\r\n\r\n", b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 409 Consumer Deleted\r\nNats-Pending-Messages: x\r\n\r\n", b"NATS/1.0\r\nno colon\r\n: empty\r\ntraceparent: 00-zz\r\nJetfleet-Deaths: x\r\nJetfleet-Epoch: x\r\n\r\n",
    b"NATS/1.0\r\nJetfleet-Run: good-1\r\nJetfleet-Signal: \xff\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n",
)  # fmt: skip
_BY_KIND = {
    "wal": ("record", "batch of records"), "tasks": ("message Task",), "history": ("message Part",), "member": ("message Member",), "lease": ("message Lease",),
    "dead": ("message DeadLetter",), "fired": ("batch of records",), "snapshot": ("manifest of snapshots", "segment of snapshots"), "plan": ("message Definition",),
    "tick": ("tick",), "ended": ("message Ended",), "trigger": ("message TriggerState",), "events": ("content of an event", "message BatchedEvent"),
}  # fmt: skip
_FLOW = ("message Current", "message FlowState")


def garbage(count: int, seed: int, digest: str) -> Iterator[bytes]:
    """So many commands of the protocol, each with one message: every subject in turn. `digest`: of a version that is deployed."""
    random = Random(seed)
    subjects = [*(subject.encode() for subject in SUBJECTS), *NO_TEXT]
    for number in range(count):
        subject = subjects[number % len(subjects)]
        body = _body(subject, random).replace(b"d" * 64, digest.encode())
        yield command(subject, random.choice(HEADS), body)


def command(subject: bytes, head: bytes, body: bytes) -> bytes:
    """One message as a client writes it to the socket."""
    if not head:
        return b"PUB %b %d\r\n%b\r\n" % (subject, len(body), body)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(head), len(head) + len(body), head, body)


def _body(subject: bytes, random: Random) -> bytes:
    """Nothing, noise, a document of the wrong kind; or of the right one, a batch or alone, damaged."""
    what = random.randrange(6)
    if what == 0:
        return random.choice((b"", b"\x00", b"{", b"\xc1", b"\x91" * 3_000, b"[" * 3_000, random.randbytes(40)))
    kind = subject.partition(b".")[0].decode()
    names = (*_BY_KIND.get(kind, ()), *(_FLOW if kind == "flow" else ()), *([f"question {kind}"] if f"question {kind}" in TARGETS else []))
    target = TARGETS[random.choice(names)] if names and what > 1 else random.choice(OF_WIRE)
    entry = mutated(target.corpus, random)
    return bytes([0x91]) + entry if random.randrange(2) else entry
