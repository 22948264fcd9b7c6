"""A gate: one limit as a state machine of its own. Who holds its slots, who waits, and who is next.

    SlotWanted  ─▶ granted at once, queued, refused, or instead of the oldest
    SlotReleased ─▶ the next one is granted

A gate is of one of two kinds, by what its askers say: at most `most` holders at a time, or `most` per `per_ms` by a token bucket (virtual
scheduling: a grant says from when on it holds, so the bucket needs no timer).

Guarantees: its state is the fold of its records. A slot is held by an entry that names its holder: asking again is answered again and takes
nothing, releasing again does nothing. There are never more than `most` holders; among the waiting the highest priority goes first, each
`fair` key in turn, the oldest of that key. A question that was asked before its holder released, and comes after that, drives out nobody.
Does not: know any clock, or whether its holders still live; who owns it asks them (`entries`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec

from ...schemas.errors import UnreadableRecord
from ...schemas.limits import MOMENT_MS_MAX
from ...schemas.records import Activation, CancelRequested, SlotGranted, SlotReleased, SlotWanted

LIMIT_REACHED, SUPERSEDED = "limit_reached", "superseded"
"""Why a grant is refused."""
WAITING, HOLDING, LEAVING = 0, 1, 2
"""Of an entry. LEAVING: a newer one takes its place; it is told, and its slot is free when it has let go."""

REMEMBERED_MS, REMEMBERED_MAX = 30_000, 100
"""How long, and how many of those who released are known, where the oldest makes room: so late a copy of a question may come."""

Answer: TypeAlias = SlotGranted | CancelRequested
Line: TypeAlias = "OrderedDict[str, OrderedDict[Holder, None]]"


class Holder(NamedTuple):
    """Who asks. `activation` () is the run itself."""

    run: str
    activation: Activation
    attempt: int


class Entry(msgspec.Struct, array_like=True, gc=False):
    """`since`: when it asked, or was granted. `not_before`: what a rate has told it. `occupies`: whether it takes up a slot."""

    state: int
    since: int
    priority: int = 0
    fair: str = ""
    not_before: int = 0
    occupies: bool = False


class Gate:
    """`full_at_us`: of a rate, when its bucket is full again, in µs since the epoch."""

    __slots__ = ("_lines", "_released", "_supersedes", "entries", "full_at_us", "held", "id", "most", "rate", "waiting")

    def __init__(self, id: str) -> None:
        self.id = id
        self.most = 0
        self.rate = False
        self.entries: dict[Holder, Entry] = {}
        """In the order in which they asked."""
        self.held = 0
        self.waiting = 0
        self.full_at_us = 0
        self._lines: dict[int, Line] = {}
        self._supersedes = False
        self._released: dict[Holder, int] = {}

    def take(self, record: SlotWanted | SlotReleased) -> list[Answer]:
        """Take a record in. Returns the records that are to be written for it, each into the partition of its run."""
        holder = Holder(record.holder, record.activation, record.attempt)
        if isinstance(record, SlotReleased):
            return self._release(holder, record.at)
        self.most, self.rate = record.most, record.per_ms > 0
        entry = self.entries.get(holder)
        if entry is not None and entry.state == HOLDING:
            return [self._grant(holder, entry, record.at)]
        if self.rate:
            return [self._take_token(holder, record)]
        answers = self._fill(record.at)  # `most` may have been raised
        if entry is None:
            answers += self._ask(holder, record)
        return answers

    def is_idle(self, now_ms: int) -> bool:
        """Whether it says nothing: nobody holds or waits."""
        return not self.entries and self.full_at_us <= now_ms * 1_000

    def may_go(self, now_ms: int) -> bool:
        """Whether it may be forgotten: a new one would answer the same."""
        return self.is_idle(now_ms) and all(at + REMEMBERED_MS <= now_ms for at in self._released.values())

    def in_line(self) -> Iterator[tuple[Holder, Entry]]:
        """Those who wait, the next one first, as far as nobody comes or goes."""
        for priority in sorted(self._lines, reverse=True):
            turns = [iter(line) for line in self._lines[priority].values()]
            while turns:
                going = []
                for turn in turns:
                    holder = next(turn, None)
                    if holder is not None:
                        yield holder, self.entries[holder]
                        going.append(turn)
                turns = going

    # --- slots

    def _ask(self, holder: Holder, record: SlotWanted) -> list[Answer]:
        if record.on_limit == "reject" and self.held >= self.most:
            return [self._refuse(holder, record.at, LIMIT_REACHED)]
        self._supersedes = record.on_limit == "cancel_oldest"
        is_late = holder in self._released and record.at < self._released[holder] + REMEMBERED_MS
        # One that is late waits in line: whoever it is of gives back what it does not need.
        answers = self._make_room(record.at) if self._supersedes and not is_late else []
        self.entries[holder] = Entry(WAITING, record.at, record.priority, record.fair)
        line = self._lines.setdefault(record.priority, OrderedDict())
        line.setdefault(record.fair, OrderedDict())[holder] = None
        self.waiting += 1
        return answers + self._fill(record.at)

    def _make_room(self, at: int) -> list[Answer]:
        """Have the oldest leave until there is room for one more among those who stay."""
        staying = [holder for holder, entry in self.entries.items() if entry.state != LEAVING]
        leaving = staying[: max(0, len(staying) - self.most + 1)]
        return [self._supersede(holder, at) for holder in leaving]

    def _supersede(self, holder: Holder, at: int) -> Answer:
        entry = self.entries[holder]
        if entry.state == WAITING:
            self._leave_line(holder, entry)
        entry.state = LEAVING
        if not holder.activation:
            return CancelRequested(holder.run, at, f"a newer run took its place at limit {self.id}", life=holder.attempt)
        return self._refuse(holder, at, SUPERSEDED)

    def _release(self, holder: Holder, at: int) -> list[Answer]:
        entry = self.entries.pop(holder, None)
        if entry is None:
            return []
        if entry.state == WAITING:
            self._leave_line(holder, entry)
        if self._supersedes:
            self._remember(holder, at)
        self.held -= entry.occupies
        return [] if self.rate else self._fill(at)

    def _remember(self, holder: Holder, at: int) -> None:
        self._released.pop(holder, None)
        self._released[holder] = at
        while len(self._released) > REMEMBERED_MAX or next(iter(self._released.values())) + REMEMBERED_MS <= at:
            del self._released[next(iter(self._released))]

    def _fill(self, at: int) -> list[Answer]:
        """Grant what is free."""
        granted: list[Answer] = []
        while self.waiting and self.held < self.most:
            holder = self._next()
            entry = self.entries[holder]
            entry.state, entry.since, entry.occupies = HOLDING, at, True
            self.held += 1
            granted.append(self._grant(holder, entry, at))
        return granted

    def _grant(self, holder: Holder, entry: Entry, at: int) -> Answer:
        return SlotGranted(holder.run, at, holder.activation, holder.attempt, self.id, entry.not_before)

    def _refuse(self, holder: Holder, at: int, why: str) -> Answer:
        return SlotGranted(holder.run, at, holder.activation, holder.attempt, self.id, refused=why)

    # --- the line

    def _next(self) -> Holder:
        """Take the next one out of the line; its key goes to the end of the keys' order."""
        priority = max(self._lines)
        line = self._lines[priority]
        fair = next(iter(line))
        holder = next(iter(line[fair]))
        line.move_to_end(fair)
        self._leave_line(holder, self.entries[holder])
        return holder

    def _leave_line(self, holder: Holder, entry: Entry) -> None:
        line = self._lines[entry.priority]
        likes = line[entry.fair]
        del likes[holder]
        self.waiting -= 1
        if not likes:
            del line[entry.fair]
        if not line:
            del self._lines[entry.priority]

    # --- rates

    def _take_token(self, holder: Holder, record: SlotWanted) -> Answer:
        """The time at which the bucket has a token for this one: at once, as long as there are any."""
        interval_us = -(-record.per_ms * 1_000 // record.most)
        now_us, room_us = record.at * 1_000, ((record.burst or record.most) - 1) * interval_us
        begin_us = max(now_us, self.full_at_us - room_us)
        not_before = 0 if begin_us <= now_us else min(-(-begin_us // 1_000), MOMENT_MS_MAX)
        if not_before and record.on_limit == "reject":
            return self._refuse(holder, record.at, LIMIT_REACHED)
        self.full_at_us = min(max(self.full_at_us, now_us) + interval_us, MOMENT_MS_MAX * 1_000)
        entry = self.entries[holder] = Entry(HOLDING, record.at, record.priority, record.fair, not_before)
        return self._grant(holder, entry, record.at)

    # --- as data

    def as_data(self) -> list[Any]:
        """The state for a msgpack encoder, uncopied: a hundred thousand may wait. The order of the keys is part of it."""
        turns = [[priority, list(line)] for priority, line in sorted(self._lines.items())]
        released = list(self._released.items())
        return [self.id, self.most, self.rate, self.full_at_us, list(self.entries.items()), turns, self._supersedes, released]

    @classmethod
    def of_data(cls, data: bytes | list[Any]) -> Gate:
        """The gate of `as_data`, encoded, or decoded again. Raises UnreadableRecord for anything else."""
        try:
            return cls._of_data(*(msgspec.msgpack.decode(data) if isinstance(data, bytes) else data))
        except (TypeError, ValueError, LookupError, msgspec.MsgspecError) as error:
            raise UnreadableRecord(f"what a snapshot holds of a limit is none: {type(error).__name__}: {error}") from None

    @classmethod
    def _of_data(
        cls,
        id: str,
        most: int,
        rate: bool,
        full_at_us: int,
        entries: Any,
        turns: Any,
        supersedes: bool = False,
        released: Any = (),
        *_: Any,
    ) -> Gate:
        gate = cls(id)
        gate.most, gate.rate, gate.full_at_us, gate._supersedes = most, rate, full_at_us, supersedes
        for priority, keys in turns:
            gate._lines[priority] = OrderedDict((fair, OrderedDict()) for fair in keys)
        for who, fields in entries:
            gate._adopt(_holder(who), Entry(*fields))
        gate._released = {_holder(who): at for who, at in released}
        return gate

    def _adopt(self, holder: Holder, entry: Entry) -> None:
        self.entries[holder] = entry
        self.held += entry.occupies
        if entry.state == WAITING:
            self._lines[entry.priority][entry.fair][holder] = None
            self.waiting += 1


def _holder(fields: list[Any]) -> Holder:
    run, activation, attempt = fields
    return Holder(run, tuple(activation), attempt)
