"""Messages: what travels between the processes of a fleet besides records. The wire form is msgpack arrays, as for records.

    Task          an attempt to be executed, in batches on `tasks.<queue>`
    AttemptId     which attempt, in batches on `cancel` and `verify.<p>`; the answer of `verify.<p>` is an array of booleans
    BatchedEvent  one event of a batch of events
    Part          a piece of a run's journal, in batches on `history.<flow>`; the last one has the run's Summary
    Ended         notice that a run has ended, in batches on `ended.<partition>`
    DeadLetter    what could not be read or placed, and why
    Definition    a flow's version as deployed
    Current       which version of a flow is the current one; no bytes at all: none, the flow was undeployed
    FlowState     whether a flow is paused or draining, and which of its versions are drained
    Member        a process of the fleet, with what it is doing
    Lease         who owns a partition
    RunView       a run as its owner sees it

Fields are only ever appended, with a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from .errors import UnreadableRecord
from .payload import NULL, Payload, list_header
from .records import Error

Message = TypeVar("Message", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()
_batch = msgspec.msgpack.Decoder(list[msgspec.Raw])
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
FAILURES = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, UnicodeDecodeError)


class Task(msgspec.Struct, array_like=True, frozen=True):
    """`digest` names the plan. `repeated`: it may have been given out before, ask the owner first. `trace`: a W3C traceparent or ""."""

    run: str
    activation: tuple[int | str, ...]
    attempt: int
    digest: str
    input: Payload
    needs: tuple[Payload, ...] = ()
    repeated: bool = False
    trace: str = ""


class AttemptId(msgspec.Struct, array_like=True, frozen=True):
    """Which attempt of which activation of which run."""

    run: str
    activation: tuple[int | str, ...]
    attempt: int


class BatchedEvent(msgspec.Struct, array_like=True, frozen=True):
    """`key`: the idempotency key, "" for none. `payload` is msgpack. `meta`: what the trigger says about it; nil: the message's headers."""

    key: str
    payload: Payload = NULL
    trace: str = ""
    meta: Payload = NULL


class Summary(msgspec.Struct, array_like=True, frozen=True):
    """How a run ended, and what lists and filters ask for. Times in ms. `source`: the run that it was forked from, or ""."""

    flow: str
    version: str
    digest: str
    status: str
    trigger: str | None
    started_at: int
    ended_at: int
    output: Payload = NULL
    error: Error | None = None
    records: int = 0
    parent: str | None = None
    trace: str = ""
    source: str = ""


class Part(msgspec.Struct, array_like=True, frozen=True):
    """Records `first` … of a run's journal, counted from 0, as they stand in the WAL. `summary` set: the last part.

    `chain`: the value of the hash chain (`schemas.chain`) after the last of them; empty in parts from before there were chains.
    """

    run: str
    first: int
    records: list[msgspec.Raw]
    summary: Summary | None = None
    chain: bytes = b""


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """`output` is left out (None) where it is large: ask for the run. `reopened`: behind how many records the life began that has ended."""

    run: str
    status: str
    ended_at: int
    output: Payload | None = None
    error: Error | None = None
    reopened: int = 0


class DeadLetter(msgspec.Struct, array_like=True, frozen=True):
    """`subject`, `headers` and `data` are those of the message that died. `code` and `reason` say of what, `where` more exactly."""

    kind: str
    code: str
    reason: str
    subject: str
    data: bytes
    at: int
    headers: dict[str, str] = {}
    where: str = ""


class Definition(msgspec.Struct, array_like=True, frozen=True):
    """A version of a flow: its canonical JSON, and the ports of the own node types it was compiled with (None: nobody knew)."""

    name: str
    version: str
    digest: str
    source: bytes
    types: dict[str, tuple[str, ...]] | None = None
    deployed_at: int = 0


class Current(msgspec.Struct, array_like=True, frozen=True):
    """`next`: the digest of the version that new runs move to, "" for none; `share`: the part of them, in percent, that begins with it.

    `previous`: the digests that were current before, the latest last.
    """

    name: str
    version: str
    digest: str
    deployed_at: int = 0
    next: str = ""
    share: float = 0.0
    previous: tuple[str, ...] = ()


RUNNING, PAUSED, DISABLED = "running", "paused", "disabled"
"""Of a trigger: it fires; what happens waits until it is resumed; it is as if it were not in its flow."""


DRAINING = "draining"
"""Of a flow: as paused; and the runs that are open have until a certain time to end."""


class Drain(msgspec.Struct, array_like=True, frozen=True):
    """Until when open runs may go on: at `cancel_at` what is left of them is cancelled, at `kill_at` killed. ms since the epoch."""

    since: int
    cancel_at: int
    kill_at: int
    reason: str = ""


class FlowState(msgspec.Struct, array_like=True, frozen=True):
    """What somebody has decided about a flow: `running`, `paused` or `draining`. `at`: since when, ms since the epoch.

    `runs`: its open runs are paused with it; `runs_at`: when that began last, 0: never. `drain`: how long they have, while it is
    draining. `versions`: those that are drained by themselves, by their digests.
    """

    flow: str
    state: str
    reason: str = ""
    at: int = 0
    runs: bool = False
    runs_at: int = 0
    drain: Drain | None = None
    versions: dict[str, Drain] = {}


class TriggerState(msgspec.Struct, array_like=True, frozen=True):
    """What somebody has decided about a trigger since it was deployed: `running`, `paused` or `disabled`. `at`: ms since the epoch."""

    flow: str
    trigger: str
    state: str
    reason: str = ""
    at: int = 0


class Member(msgspec.Struct, array_like=True, frozen=True):
    """`role`: coordinator, worker, trigger or reader. `boot` names the machine's boot and pid namespace, so that a pid means something.

    `beat_ms`: how often it says that it is there. `facts` differ by role: partitions, queues, node types, slots, busy.
    `pid_start`: when its process started, in the kernel's ticks since boot, so that a pid that is used again is known; 0: unknown.
    """

    id: str
    role: str
    host: str
    boot: str
    pid: int
    version: str
    started_at: int
    beat_ms: int
    at: int
    leaving: bool = False
    facts: dict[str, Any] = {}
    pid_start: int = 0


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """Who owns a partition: a member's id, "" for nobody. `generation` grows with every new owner, and never goes back."""

    owner: str
    since: int
    generation: int


class RunView(msgspec.Struct, array_like=True, frozen=True):
    """`nodes`: (key, status, port, attempts). `blocked`: (node, reason, detail, due in ms or None). `tail`: the records not yet archived.

    `archived`: how many records of its journal are in the history already.
    """

    run: str
    flow: str
    version: str
    digest: str
    status: str
    trigger: str | None
    started_at: int
    updated_at: int
    ended_at: int | None = None
    output: Payload = NULL
    error: Error | None = None
    nodes: list[tuple[str, str, str | None, int]] = []
    blocked: list[tuple[str, str, str, int | None]] = []
    archived: int = 0
    tail: list[msgspec.Raw] = []
    parent: str | None = None


def encode(message: msgspec.Struct) -> bytes:
    return _encoder.encode(message)


def decode(type: type[Message], data: bytes) -> Message:
    """Raises UnreadableRecord for bytes that are no such message."""
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.msgpack.Decoder(type)
    try:
        message: Message = decoder.decode(data)
        return message
    except FAILURES as error:
        raise UnreadableRecord(f"{len(data)} bytes are no {type.__name__}: {error}") from None


def join(entries: Sequence[bytes]) -> bytes:
    """The batch that holds these encoded entries: a msgpack array, made by joining bytes."""
    return list_header(len(entries)) + b"".join(entries)


def split(data: bytes) -> list[msgspec.Raw]:
    """The encoded entries of a batch. Raises UnreadableRecord if the bytes as a whole are no batch."""
    try:
        return _batch.decode(data)
    except FAILURES as error:
        raise UnreadableRecord(f"{len(data)} bytes are no batch: {error}") from None


def encode_all(messages: Iterable[msgspec.Struct]) -> bytes:
    return _encoder.encode(list(messages))
