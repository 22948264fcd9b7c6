"""The watcher: sees the ends of runs as they are archived, who is there and who owns what, while a world is being disturbed.

It reads by a connection of its own, past all proxies. Times are the server's, when it stored the message. A server shows messages a moment
before they are on its disk, and a power cut takes those: the stream is read anew then, and what was seen stays seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jetfleet.broker.client import Connection, Message, Tail
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Lease, Member, Part

from ..fleet.following import Following, nothing


class End(NamedTuple):
    status: str
    at_ns: int


class Watcher(Following):
    """`told`: called with run and status at each first end. `ends`: by run, with when that was stored; `owners`: members, by partition."""

    DEADLINE_S = 120

    def __init__(self, connection: Connection, partitions: int, told: Callable[[str, str], None]) -> None:
        super().__init__()
        self.ends: dict[str, End] = {}
        self.owners: dict[int, str] = {}
        self.pids: dict[str, int] = {}
        self.partitions = partitions
        self._told = told
        self._tails = [
            Tail(connection, subjects.FLEET, 1, self._member, filter_subject="member.>", on_anew=nothing),
            Tail(connection, subjects.FLEET, 1, self._lease, filter_subject="lease.>", on_anew=nothing),
            Tail(connection, subjects.HISTORY, 1, self._history, on_anew=nothing),
        ]

    def owned_by(self, pid: int) -> frozenset[int]:
        """The partitions whose lease names the process."""
        return frozenset(partition for partition, owner in self.owners.items() if self.pids.get(owner) == pid)

    def owned(self) -> bool:
        """Whether every partition has an owner."""
        return len([owner for owner in self.owners.values() if owner]) == self.partitions

    def _member(self, message: Message) -> None:
        if message.data:
            member = messages.decode(Member, message.data)
            self.pids[member.id] = member.pid
            self._changed.set()

    def _lease(self, message: Message) -> None:
        if message.data:
            self.owners[int(message.subject.rpartition(".")[2])] = messages.decode(Lease, message.data).owner
            self._changed.set()

    def _history(self, message: Message) -> None:
        for raw in messages.split(message.data):
            part = messages.decode(Part, raw)
            if part.summary is not None and part.run not in self.ends:
                self.ends[part.run] = End(part.summary.status, message.timestamp_ns)
                self._told(part.run, part.summary.status)
        self._changed.set()
