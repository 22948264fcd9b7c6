"""Evidence: everything that a checker may look at, as plain data. Where it comes from (a fleet, a simulator, a hand) does not matter.

What nobody has looked at is None, not empty: a checker that needs it says that it is not known instead of finding nothing wrong.
`recorder.py` gathers it from a real deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from jetfleet.broker.engine import Blocked
from jetfleet.schemas.messages import DeadLetter, Lease, Part, Summary
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Record

from .ledger import Account


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a WAL. `seq`, `at_ns`: of the message that it came in, and when that was stored. `raw`: the record's bytes."""

    partition: int
    seq: int
    at_ns: int
    record: Record
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of a WAL, or a whole message, that is no record."""

    partition: int
    seq: int
    at_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A sequence of a stream, as somebody saw it last at that moment. `stream`: `WAL_0`, …"""

    stream: str
    seq: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A lease as it was written."""

    partition: int
    seq: int
    at_ns: int
    lease: Lease


@dataclass(frozen=True, slots=True)
class Beat:
    """A coordinator says that it lives, and which partitions it acts for."""

    member: str
    at_ns: int
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ManifestSeen:
    """A snapshot's manifest as it was written: up to which sequence of the WAL the snapshot goes, in which epoch of the tasks."""

    partition: int
    at_ns: int
    position: int
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """A run's state as a snapshot had it: after its first `records` records."""

    run: str
    records: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Value:
    """A large value that was read: what it should have been and what came, as checksums; `error` instead of a wrong one is legitimate."""

    ref: str
    expected: int
    got: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """A figure (bytes of memory, open files, …) before the load, and after the backlog was gone."""

    what: str
    before: float
    after: float


@dataclass(frozen=True)
class Evidence:
    """`entries`: of each partition in the order of its WAL; `partial`: they may lack the beginning, or what was purged unseen.

    `journals` and `ends`: of ended runs, as they stand in HISTORY; `parts`: the parts that these were read from. `open`: the runs that are
    open when all is over, each with what it waits for; `now_ms`: when that was. `listed`: statuses in the read model. `working`: runs that
    may have a task out when all is over, because the scenario wants it so. `pending`: the runs of events that still wait to be taken. `sequences`: how far each stream was ever seen, in the order of
    looking, from outside of the broker. `texts` and `logs`: where `canaries`, the secrets of the scenario, must not be found.
    """

    account: Account = field(default_factory=Account)
    entries: Sequence[Entry] = ()
    unreadable: Sequence[Unreadable] = ()
    journals: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)
    ends: Mapping[str, Summary] = field(default_factory=dict)
    letters: Sequence[DeadLetter] = ()
    listed: Mapping[str, str] | None = None
    open: Mapping[str, Sequence[Blocked]] | None = None
    working: frozenset[str] = frozenset()
    now_ms: int = 0
    plans: Mapping[str, Plan] = field(default_factory=dict)
    snapshots: Sequence[SnapshotSeen] | None = None
    manifests: Sequence[ManifestSeen] | None = None
    leases: Sequence[LeaseSeen] | None = None
    beats: Sequence[Beat] | None = None
    sequences: Sequence[Seen] | None = None
    pending: frozenset[str] = frozenset()
    values: Sequence[Value] | None = None
    usage: Sequence[Usage] | None = None
    canaries: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    logs: Sequence[Path] = ()
    partial: bool = False

    @cached_property
    def of_run(self) -> Mapping[str, Sequence[Entry]]:
        """The entries of each run, in the order of the WAL."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.record.run, []).append(entry)
        return found

    @cached_property
    def of_partition(self) -> Mapping[int, Sequence[Entry]]:
        """The entries of each partition."""
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.partition, []).append(entry)
        return found
