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

Every story is told once on a fleet that lives, once with coordinator and worker killed at each `yield`, and, if soak tests are run, with the
coordinator alone killed there, and with it killed again and again at any moment. All of them are told side by side, so that a kill costs all of them
together as much as one. What is asserted is what the log and the files of the nodes say. The next processes are started at once, and the story
goes on while they start: half of what is sent comes while nobody is there.

A story may yield what it wants to do right before the kill, when all others are ready for it; the number that this gives (ms since the epoch)
keeps the fleet down until then. A story that fails ends alone; its test fails with its error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.read_model.reader import Reader
from jetfleet.broker.study.verification import Verdict
from jetfleet.broker.topology import Topology

from ..fleet.children import Child, order
from ..fleet.running import run
from ..fleet.trouble import until
from .lives import NODES, STEP_S, AttemptLog, Life

Kills: TypeAlias = Literal["nothing dies", "the coordinator dies", "the worker dies too", "the coordinator dies at any moment"]
NOTHING: Kills = "nothing dies"
COORDINATOR: Kills = "the coordinator dies"
WORKER_TOO: Kills = "the worker dies too"
ANY_MOMENT: Kills = "the coordinator dies at any moment"
LastWish: TypeAlias = Callable[[], Awaitable[int]]
Steps: TypeAlias = AsyncIterator[LastWish | None]
Story: TypeAlias = Callable[["Life"], Steps]
PARTITIONS = 2
BETWEEN_S = (0.3, 1.5)
"""From one kill to the next, where they come at any moment."""


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


class Stage:
    """A fleet on a server of its own, and the lives that were played on it. `kills`: what dies at each step."""

    def __init__(self, url: str, folder: Path, kills: Kills) -> None:
        self.url, self.folder, self.kills = url, folder, kills
        self.lives: dict[Story, Life] = {}
        self.verdicts: list[Verdict] = []
        """Of the journal of every run, when all was over."""
        self.deaths: Counter[str] = Counter()
        """How many times each process was killed while stories were told."""
        self._ends: dict[Story, BaseException | None] = {}
        self._processes: dict[str, Child] = {}

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
            dies = {"goes_down": self.kills in (COORDINATOR, WORKER_TOO), "worker_dies": self.kills == WORKER_TOO}
            self.lives = {story: Life(self.folder / story.__name__, client, log, **dies) for story in told}
            killing = asyncio.create_task(self._kill_at_any_moment()) if self.kills == ANY_MOMENT else None
            await self._tell_all()
            if killing is not None:
                killing.cancel()
                await asyncio.wait([killing])
                self._start(*(name for name, process in self._processes.items() if not process.alive))
            await log.caught_up()
            self.verdicts = [verdict async for verdict in client.verify_all()]

    async def _tell_all(self) -> None:
        open = {story: story(life) for story, life in self.lives.items()}
        while open:
            wishes = await asyncio.gather(*(self._step(story, steps) for story, steps in open.items()))
            down_until_ms = max(await asyncio.gather(*(self._grant(*wish) for wish in zip(open, wishes, strict=True))))
            open = {story: steps for story, steps in open.items() if story not in self._ends}
            if open and self.kills in (COORDINATOR, WORKER_TOO):
                await self._kill(*self._processes if self.kills == WORKER_TOO else ("coordinator",), down_until_ms=down_until_ms)

    async def _step(self, story: Story, steps: Steps) -> LastWish | None:
        """Tell it up to its next `yield`, or its end."""
        wish = None
        async with self._bounded(story):
            try:
                wish = await anext(steps)
            except StopAsyncIteration:
                self._ends[story] = None
        return wish

    async def _grant(self, story: Story, wish: LastWish | None) -> int:
        """Until when all is to be down, in ms since the epoch."""
        async with self._bounded(story):
            return 0 if wish is None else await wish()
        return 0

    @asynccontextmanager
    async def _bounded(self, story: Story) -> AsyncIterator[None]:
        """What goes wrong, or takes too long, ends this story alone."""
        try:
            async with asyncio.timeout(STEP_S):
                yield
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(await self.lives[story].where_it_stands())
            self._ends[story] = error

    async def _kill_at_any_moment(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(*BETWEEN_S))
            await self._kill("coordinator")

    async def _kill(self, *names: str, down_until_ms: int = 0) -> None:
        for name in names:
            await asyncio.to_thread(self._processes[name].kill)
            self.deaths[name] += 1
        await until(lambda: time.time() * 1_000 >= down_until_ms, "the time until which all is to be down")
        self._start(*names)

    def _start(self, *names: str) -> None:
        for name in names:
            nodes = ("--nodes", NODES) if name == "worker" else ()
            words = (name, "--nats", self.url, "--data", str(self.folder / name), *nodes)
            self._processes[name] = Child(name, order(self.folder / f"{name}.log", *words))
