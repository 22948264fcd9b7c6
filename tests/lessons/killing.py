"""Lives of runs that are told step by step, on a fleet whose processes are killed with SIGKILL between any two steps.

    @lesson
    async def test_an_answer_is_taken_in_once(life: Life) -> Steps:
        await life.deploy(flow("asks", …))
        id = await life.send("asks")
        await life.waits(id)
        yield                                # here the fleet may be killed
        await life.client.signal(id, "go")
        yield                                # and here, with the signal on disk and perhaps nobody who has read it
        assert await life.output(id) == …

Every story is told once on a fleet that lives, once with the coordinator killed at each `yield`, once with the worker killed too. All of
them are told side by side, so that a kill costs all of them together as much as one. What is asserted is what the log and the files of the nodes
say, never what a process says of itself. The next processes are started at once, and the story goes on while they start: half of what is
sent comes while nobody is there.

A story may yield what it wants to do right before the kill, when all others are ready for it; the number that this gives (ms since the epoch)
keeps the fleet down until then. A story that fails ends alone; its test fails with its error.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import pytest

from jetfleet.broker.api import Client, Decided, Pending
from jetfleet.broker.client import BrokerError, Connection, Message
from jetfleet.broker.deployment import ensure
from jetfleet.broker.read_model.reader import Reader
from jetfleet.broker.run_result import RunResult
from jetfleet.broker.study.verification import Verdict
from jetfleet.broker.topology import Topology
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.messages import RunView, Summary
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import Completion, Record

from ..fleet.fleet_log import Log
from ..fleet.running import run
from .forked import Forked
from .lesson_nodes import FOLDER

Kills: TypeAlias = Literal["nothing dies", "the coordinator dies", "the worker dies too"]
KILLS: tuple[Kills, ...] = ("nothing dies", "the coordinator dies", "the worker dies too")
LastWish: TypeAlias = Callable[[], Awaitable[int]]
Steps: TypeAlias = AsyncIterator[LastWish | None]
Story: TypeAlias = Callable[["Life"], Steps]
Kind = TypeVar("Kind", bound=Record)
Answer = TypeVar("Answer")

NODES = str(Path(__file__).with_name("lesson_nodes.py"))
PARTITIONS = 2
STEP_S = 25
"""How long one step of one story may take."""
LOOK_S = 0.01


def lesson(story: Story) -> Callable[[Stage], None]:
    """A test that tells how its story went on the stage."""

    def test(stage: Stage) -> None:
        stage.tell(story)

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    test.story = story  # type: ignore[attr-defined]
    return test


def stories(items: Iterable[pytest.Item]) -> list[Story]:
    """Those of the tests that were chosen."""
    found = (getattr(getattr(item, "function", None), "story", None) for item in items)
    return list(dict.fromkeys(story for story in found if story is not None))


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
    """What one story works with: a folder for its nodes, a client, and the log of the fleet.

    `worker_dies`: whether what is being executed at a `yield` may be executed again.
    """

    def __init__(self, folder: Path, client: Client, log: AttemptLog, kills: Kills) -> None:
        folder.mkdir()
        self.folder, self.client, self.log, self.url = folder, client, log, client.connection.url
        self.coordinator_dies, self.worker_dies = kills != KILLS[0], kills == KILLS[2]
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
        """How often each node was executed, in all runs of this story."""
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


class Stage:
    """A fleet on a server of its own, and the lives that were played on it. `kills`: what dies at each step."""

    def __init__(self, url: str, folder: Path, kills: Kills) -> None:
        self.url, self.folder, self.kills = url, folder, kills
        self.lives: dict[Story, Life] = {}
        self.verdicts: list[Verdict] = []
        """Of the journal of every run, when all was over."""
        self._ends: dict[Story, BaseException | None] = {}
        self._processes: dict[str, Forked] = {}

    def tell(self, story: Story) -> None:
        """Raises what the story has raised."""
        error = self._ends[story]
        if error is not None:
            raise error

    def play(self, told: list[Story]) -> None:
        try:
            run(self._play(told), 300)
        finally:
            for process in self._processes.values():
                process.kill_if_alive()

    async def _play(self, told: list[Story]) -> None:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(await Connection.open(self.url, name="test"))
            await ensure(connection, Topology(partitions=PARTITIONS, store_bytes=1 << 30))
            client = await stack.enter_async_context(await Client.connect(self.url))
            log = await stack.enter_async_context(AttemptLog(connection, PARTITIONS))
            reader = Reader(connection, PARTITIONS, self.folder / "reader")
            await reader.start()
            stack.push_async_callback(reader.stop)
            self._start("coordinator", "worker")
            self.lives = {story: Life(self.folder / story.__name__, client, log, self.kills) for story in told}
            await self._tell_all()
            await log.caught_up()
            self.verdicts = [verdict async for verdict in client.verify_all()]

    async def _tell_all(self) -> None:
        open = {story: story(life) for story, life in self.lives.items()}
        while open:
            wishes = await asyncio.gather(*(self._step(story, steps) for story, steps in open.items()))
            down_until_ms = max(await asyncio.gather(*(wish() for wish in wishes if wish is not None)), default=0)
            open = {story: steps for story, steps in open.items() if story not in self._ends}
            if open and self.kills != KILLS[0]:
                await self._kill(down_until_ms)

    async def _step(self, story: Story, steps: Steps) -> LastWish | None:
        """Tell it up to its next `yield`, or its end."""
        try:
            async with asyncio.timeout(STEP_S):
                return await anext(steps)
        except StopAsyncIteration:
            self._ends[story] = None
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(await self.lives[story].where_it_stands())
            self._ends[story] = error
        return None

    async def _kill(self, down_until_ms: int) -> None:
        victims = ("coordinator", "worker") if self.kills == KILLS[2] else ("coordinator",)
        for name in victims:
            await asyncio.to_thread(self._processes[name].kill)
        await asyncio.sleep(max(0.0, down_until_ms / 1_000 - time.time()))
        self._start(*victims)

    def _start(self, *names: str) -> None:
        for name in names:
            nodes = ("--nodes", NODES) if name == "worker" else ()
            self._processes[name] = Forked(name, "--nats", self.url, "--data", str(self.folder / name), *nodes)
