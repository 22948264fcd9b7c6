"""Questions to a partition's owner: is this attempt still wanted; how is this run; which of these runs are over; how many are open.

Answers to `verify`, `open` and `count` are given only after everything in the WAL has been taken in: a completion that is recorded must
never be executed again because its owner had not read it yet, and no run be taken for over that has just begun once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from ...schemas import messages
from ...schemas.messages import Ended, RunView
from ..client import Message
from ..engine import blocked_on, nodes, wants
from ..payloads.run_states import OPEN, OVER, UNKNOWN
from .answering import Answering
from .open_run import OpenRun

COUNTED_AT_ONCE = 10_000
"""Runs that are counted before the loop serves others."""

_attempts = msgspec.msgpack.Decoder(list[tuple[str, tuple[int | str, ...], int]])
_run = msgspec.msgpack.Decoder(tuple[str])
_runs = msgspec.msgpack.Decoder(list[str])
_flow = msgspec.msgpack.Decoder(tuple[str | None])


class Questions(Answering):
    """Those of one partition."""

    def verify(self, message: Message) -> None:
        self._answer(self._verify(message))

    def run(self, message: Message) -> None:
        self._answer(self._tell(message))

    def run_states(self, message: Message) -> None:
        self._answer(self._tell_states(message))

    def count(self, message: Message) -> None:
        self._answer(self._tell_count(message))

    async def _verify(self, message: Message) -> None:
        attempts = _attempts.decode(message.data)
        if await self._ours():
            runs = self._partition.runs
            wanted = [run in runs and wants(runs[run].run, activation, attempt) for run, activation, attempt in attempts]
            await message.respond(msgspec.msgpack.encode(wanted))

    async def _tell_states(self, message: Message) -> None:
        runs = _runs.decode(message.data)
        if await self._ours():
            await message.respond(msgspec.msgpack.encode([self._state(run) for run in runs]))

    async def _tell_count(self, message: Message) -> None:
        """How many runs of a flow (nil: of each) are open here, by version."""
        (flow,) = _flow.decode(message.data)
        if await self._ours():
            open: Counter[tuple[str, str]] = Counter()
            plans = [run.plan for run in self._partition.runs.values()]
            for start in range(0, len(plans), COUNTED_AT_ONCE):
                some = plans[start : start + COUNTED_AT_ONCE]
                open.update((plan.name, plan.digest) for plan in some if flow is None or plan.name == flow)
                await asyncio.sleep(0)
            await message.respond(msgspec.msgpack.encode([(*version, count) for version, count in open.items()]))

    def _state(self, run: str) -> int:
        """A run whose end is still on its way to the history counts as open: until it is there the WAL is all there is of it.

        The run at the top of a family does while one of its sub-flows' runs is open here.
        """
        here = self._partition
        if run in here.runs or run in here.archiving or run in here.families:
            return OPEN
        return OVER if run in here.ended else UNKNOWN

    async def _tell(self, message: Message) -> None:
        """A RunView; an Ended for a run that ended lately; nil for one that is not known here."""
        (id,) = _run.decode(message.data)
        run = self._partition.runs.get(id)
        found: RunView | Ended | None = self._partition.recent.get(id)
        if run is not None:
            locality = self._around.locality
            found = view(run, locality.silent_hosts(id), locality.full_hosts(id))
        await message.respond(msgspec.msgpack.encode(None) if found is None else messages.encode(found))


def view(run: OpenRun, silent_hosts: Sequence[str] = (), full_hosts: Sequence[str] = ()) -> RunView:
    """The run as it is now. `silent_hosts`: those that have values of it and do not answer; `full_hosts`: without room for one."""
    state = run.look()
    found = [(key, node.status, node.port, node.attempts) for key, node in nodes(state).items()]
    blocked: list[tuple[str, str, str, int | None]] = [("run", "room", f"in the arena of host {host}", None) for host in full_hosts]
    blocked += [(each.node, each.reason, each.detail, each.due) for each in blocked_on(state)]
    blocked += [("run", "payload", f"of host {host}, from which nobody answers", None) for host in silent_hosts]
    return RunView(
        run=state.id, flow=state.plan.name, version=state.plan.version, digest=state.plan.digest,
        status="paused" if state.paused else state.status,
        trigger=state.trigger, started_at=state.started_at, updated_at=state.updated_at, output=state.output, error=state.error,
        nodes=found, blocked=blocked, archived=run.archived, tail=run.records(),
        parent=None if state.parent is None else state.parent[0],
    )  # fmt: skip
