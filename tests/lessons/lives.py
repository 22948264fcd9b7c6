"""What a story works with: the client of the fleet, its log, and a folder in which the nodes leave what they have done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jetfleet.broker.api import Client, Decided, Pending
from jetfleet.broker.client import BrokerError, Connection, Message
from jetfleet.broker.run_result import RunResult
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.messages import RunView, Summary
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import Completion, Record

from ..fleet.fleet_log import Log
from .lesson_nodes import FOLDER

Kind = TypeVar("Kind", bound=Record)
Answer = TypeVar("Answer")

NODES = str(Path(__file__).with_name("lesson_nodes.py"))
STEP_S = 25
"""How long one step of one story may take."""
LOOK_S = 0.01


class AttemptLog(Log):
    """A log that knows of each attempt when its end was on disk."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        super().__init__(connection, partitions)
        self.ended_ns: dict[tuple[str, str, int], int] = {}

    def _wal(self, message: Message) -> None:
        super()._wal(message)
        for record in decode_batch(message.data)[0]:
            if isinstance(record, Completion):
                attempt = (record.run, ".".join(map(str, record.activation)), record.attempt)
                self.ended_ns.setdefault(attempt, message.timestamp_ns)


class Life:
    """One story's. `goes_down`: whether the fleet stays down for as long as the story wants; `worker_dies`: whether what is being executed
    at a `yield` may be executed again."""

    def __init__(self, folder: Path, client: Client, log: AttemptLog, *, goes_down: bool, worker_dies: bool) -> None:
        folder.mkdir()
        self.folder, self.client, self.log, self.url = folder, client, log, client.connection.url
        self.goes_down, self.worker_dies = goes_down, worker_dies
        self.runs: list[str] = []

    async def deploy(self, *flows: Mapping[str, Any]) -> None:
        for each in flows:
            settings = {**each.get("settings", {}), "env": {FOLDER: str(self.folder)}}
            await self.client.deploy({**each, "settings": settings}, nodes=[NODES])

    async def send(self, flow: str, payload: Any = None, **options: Any) -> str:
        self.runs.append(await self.client.send(flow, payload, **options))
        return self.runs[-1]

    def open(self, gate: str) -> None:
        """Let go on who waits for this file."""
        (self.folder / gate).touch()

    # --- what has happened

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something in the log."""
        await self.log.until(condition, what, STEP_S)

    async def recorded(self, run: str, kind: type[Kind], count: int = 1) -> list[Kind]:
        """The records of a kind, as soon as the log has so many."""
        await self.until(lambda: len(self.log.of(run, kind)) >= count, f"{count} × {kind.__name__} of {run}")
        return self.log.of(run, kind)

    async def completed(self, run: str, count: int) -> None:
        """Wait until so many activations have a completion on disk."""
        await self.until(lambda: len({each.activation for each in self.log.of(run, Completion)}) >= count, f"{count} completions of {run}")

    async def at_work(self, node: str, count: int = 1) -> None:
        """Wait until so many activations of a node have begun to be executed."""
        while len({tuple(line[:2]) for line in self.lines() if line[3] == node}) < count:
            await asyncio.sleep(LOOK_S)

    async def cancelled(self, node: str) -> None:
        """Wait until a worker has cancelled an execution of a node."""
        file = self.folder / "cancelled"
        while not file.exists() or node not in file.read_text().split():
            await asyncio.sleep(LOOK_S)

    async def waits(self, run: str, count: int = 1, reason: str = "") -> RunView:
        """The run in the eyes of its owner, once so many of its nodes wait (for a reason)."""
        while (view := await self.client.look(run)) is None or len([each for each in view.blocked if reason in each[1]]) < count:
            assert self.log.summary(run) is None, f"{run} has ended: {self.log.summary(run)}"
            await asyncio.sleep(LOOK_S)
        return view

    async def asked(self, run: str, hook: str) -> Pending:
        """The approval, once the run waits for it."""
        while not (found := (await insist(lambda: self.client.pending(name=hook, run=run))).rows):
            await asyncio.sleep(LOOK_S)
        return found[0]

    async def answer(self, run: str, hook: str, decision: str, **said: Any) -> Decided:
        """Answer the approval as soon as it is asked, however often one has to try."""
        to = await self.asked(run, hook)
        return await insist(lambda: self.client.answer(to, decision, id=f"{run}/{hook}", **said))

    async def shown(self, run: str) -> RunResult:
        """Everything about the run, as its journal has it now."""
        return await insist(lambda: self.client.show(run))

    async def ended(self, run: str) -> Summary:
        (summary,) = await self.log.ended(run, deadline_s=STEP_S)
        return summary

    async def output(self, run: str) -> Any:
        """What the run put out, once it has completed."""
        summary = await self.ended(run)
        assert summary.status == "completed", summary.error
        return decode(summary.output)

    async def where_it_stands(self) -> str:
        """Of open runs what their owner says, and the log: for who reads why a story failed."""
        views = {run: await self.client.look(run) for run in self.runs if self.log.summary(run) is None}
        return "\n".join(
            f"{run}: {view and (view.status, view.nodes, view.blocked)}\n  {self.log.records.get(run)}\n  {[line for line in self.lines() if line[0] == run]}"
            for run, view in views.items()
        )

    def kinds(self, run: str) -> list[str]:
        """The journal, as the names of its records."""
        return [type(record).__name__ for record in self.log.journal(run)]

    def lines(self) -> list[list[str]]:
        """An execution each: run, activation, attempt, node, time in ns."""
        file = self.folder / "executions"
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []

    def executed(self) -> Counter[str]:
        """How often each node was executed, in all runs of this story.

        Where workers die each attempt counts once: one that was under way begins again. That none does whose end was on disk is asserted of
        all stories at once.
        """
        if self.worker_dies:
            return Counter(node for _, _, _, node in {tuple(line[:4]) for line in self.lines()})
        return Counter(line[3] for line in self.lines())

    def executed_in_vain(self) -> list[list[str]]:
        """Executions of attempts whose end was on disk before."""
        ended_ns = self.log.ended_ns
        return [line for line in self.lines() if int(line[4]) > ended_ns.get((line[0], line[1], int(line[2])), int(line[4]))]

    def begun(self) -> list[str]:
        """Nodes in the order of their first execution."""
        return list(dict.fromkeys(line[3] for line in self.lines()))


async def insist(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again as long as there is nobody who could answer."""
    while True:
        try:
            return await ask()
        except BrokerError:
            await asyncio.sleep(LOOK_S)
