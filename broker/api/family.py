"""The family of a run: the runs of its sub-flows, theirs, and so on down, as a tree.

Who belongs to it is asked of the read model, which knows of every run what started it, and of the owners, who know it a moment sooner. How
an open one is right now its owner says. A child that was asked for and has not begun is no run yet, and not in the tree.

Guarantees: no run is in it twice; a parent comes before its children, and children in the order in which they began. It is a picture of a
moving thing: a child that begins while it is taken may be missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...schemas import subjects
from ...schemas.messages import RunView
from ..client import Connection
from ..read_model import questions
from ..read_model.fields import ENDED, OPEN
from ..read_model.journal import ask_owner
from ..read_model.views import LIMIT_MAX, RunRow
from .errors import UnknownRun

MEMBERS_MAX = 1_000
"""Runs in a tree, unless more are asked for."""
ASKED_AT_ONCE = 32
PARENTS_AT_ONCE, FILTER_MAX = 50, 3_500
"""Whose children one question to the read model asks for, and how many characters that may take: filters are bounded."""
CHILD = "child"
"""Why a sub-flow node does not move: `Blocked.reason`."""


@dataclass(slots=True)
class Member:
    """A run in its family. `view` is what its owner says, of an open one whose owner answers."""

    row: RunRow
    view: RunView | None = None
    children: list[Member] = field(default_factory=list)

    @property
    def run(self) -> str:
        return self.row.id

    @property
    def status(self) -> str:
        return self.row.status if self.view is None else self.view.status

    @property
    def is_open(self) -> bool:
        return self.status not in ENDED

    @property
    def node(self) -> str:
        """The activation of the parent that started it, `charge[2]`; "" for a run that no other started."""
        return self._place.partition(".")[0]

    @property
    def attempt(self) -> int:
        """Which attempt of that activation it is."""
        return int(self._place.partition(".")[2] or 1)

    @property
    def _place(self) -> str:
        """What a child's id has after its parent's: `<node>[<iteration>]…`, and `.<attempt>` from the second on."""
        return "" if self.row.parent is None else self.row.id.removeprefix(f"{self.row.parent}.")

    def everybody(self) -> Iterator[Member]:
        """It and all below it, parents first."""
        waiting = [self]
        while waiting:
            member = waiting.pop()
            yield member
            waiting += reversed(member.children)


@dataclass(frozen=True, slots=True)
class Family:
    """`top` is the run that was asked for, be it a child itself or not. `complete`: no run was left out for there being too many."""

    top: Member
    complete: bool

    def everybody(self) -> Iterator[Member]:
        """All runs, parents before their children."""
        return self.top.everybody()


async def family(connection: Connection, run: str, partitions: int, most: int = MEMBERS_MAX) -> Family:
    """The tree below a run, itself at the top, with at most so many runs. Raises UnknownRun, ReaderAbsent, BrokerError."""
    top = await _member(connection, partitions, run)
    if top is None:
        raise UnknownRun(run)
    left, generation = most - 1, [top]
    while generation:
        children = await _children(connection, partitions, generation, left + 1)
        by_id = {parent.run: parent for parent in generation}
        for child in children[:left]:
            by_id[child.row.parent or ""].children.append(child)
        if len(children) > left:
            return Family(top, False)
        left, generation = left - len(children), children
    return Family(top, True)


async def _children(connection: Connection, partitions: int, parents: list[Member], most: int) -> list[Member]:
    """Those of some runs, in the order in which they began."""
    rows: list[RunRow] = []
    for where in _filters(parents):
        rows += await _rows(connection, where, most - len(rows))
    known = {row.id for row in rows}
    unread = [id for parent in parents if parent.view for _, reason, id, _ in parent.view.blocked if reason == CHILD and id not in known]
    open = [row.id for row in rows if row.status in OPEN]
    asked = {member.run: member for member in await _members(connection, partitions, open + unread[: most - len(rows)])}
    members = {row.id: Member(row) for row in rows} | asked
    return sorted(members.values(), key=lambda member: (member.row.started_at, member.run))


def _filters(parents: list[Member]) -> Iterator[str]:
    """Filters that together find the children of all these."""
    conditions: list[str] = []
    for parent in parents:
        condition = f"parent = {_quoted(parent.run)}"
        if conditions and (len(conditions) == PARENTS_AT_ONCE or sum(map(len, conditions)) + len(condition) > FILTER_MAX):
            yield " or ".join(conditions)
            conditions = []
        conditions.append(condition)
    yield " or ".join(conditions)


async def _rows(connection: Connection, where: str, most: int) -> list[RunRow]:
    """What the read model knows of such runs, at most so many."""
    rows: list[RunRow] = []
    cursor = ""
    while len(rows) < most:
        page = await questions.runs(connection, where, order="started", limit=min(LIMIT_MAX, most - len(rows)), cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if not cursor:
            break
    return rows


async def _members(connection: Connection, partitions: int, runs: list[str]) -> list[Member]:
    """Each by itself, without those that nobody knows."""
    found: list[Member | None] = []
    for start in range(0, len(runs), ASKED_AT_ONCE):
        found += await asyncio.gather(*(_member(connection, partitions, run) for run in runs[start : start + ASKED_AT_ONCE]))
    return [member for member in found if member is not None]


async def _member(connection: Connection, partitions: int, run: str) -> Member | None:
    view = await ask_owner(connection, run, partitions)
    if isinstance(view, RunView):
        return Member(_row(view, partitions), view)
    found = await questions.run(connection, run)
    return None if found is None else Member(found.row)


def _quoted(id: str) -> str:
    """As a value of a filter."""
    return '"' + id.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _row(view: RunView, partitions: int) -> RunRow:
    """An open run as lists show it, where only its owner knows of it yet."""
    return RunRow(
        view.run, view.flow, view.version, view.digest, view.status, view.trigger, subjects.partition_of(view.run, partitions),
        view.started_at, parent=view.parent, records=view.archived + len(view.tail),
    )  # fmt: skip
