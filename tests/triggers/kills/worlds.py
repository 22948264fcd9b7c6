"""The worlds outside: who writes files, calls webhooks, sends to queues, and what each of them was told.

A file is acknowledged to its writer when its name is there; a request, by 202 with the run's id; a message, when the client returns. The one
that produces to Kafka is in `kafka_world.py`, since it needs libraries.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from jetfleet.broker.api.queue import Queue
from jetfleet.broker.server.ports import free_port
from jetfleet.schemas import subjects

from ...fleet.trouble import until
from ...fleet.worker_processes import CommandProcess
from ..webhook.calling import Answer, Line, request
from .ledger import Ledger
from .stage import FLOW, TRIGGER, Stage

ENDS_S = 60
AT_A_TIME = 50
"""What a source takes at most, where it would take a thousand things at once: so there is a middle in which it can be killed."""


class Served:
    """What the worlds have in common whose trigger a process of its own serves. `constants`: other than usual in there, by `module.NAME`."""

    constants: Mapping[str, float] = {}

    at_work = True

    def __init__(self, url: str, folder: Path, type: str, params: dict[str, Any]) -> None:
        self.ledger = Ledger()
        self.trigger = {"type": type, "params": params}
        self._url, self._folder, self._type = url, folder, type

    def number(self, payload: Any) -> int:
        return int(payload["n"])

    async def under_way(self, stage: Stage) -> int:
        """What is there, and has not been published as an event."""
        there = set(self.ledger.handed_over)
        await stage.witness.caught_up()
        return len(there - stage.witness.published.keys())

    def start(self) -> CommandProcess:
        arguments = ("trigger", "serve", "--type", self._type, "--nats", self._url, "--data", str(self._folder / "trigger"))
        return CommandProcess(self._folder / "trigger.log", *arguments, constants=self.constants)


class Files(Served):
    """Each is written in one step, and moved away afterwards."""

    constants: Mapping[str, float] = {
        "jetfleet.triggers.filesystem.intake.FIRINGS_PER_STEP": 5,
        "jetfleet.triggers.filesystem.intake.LOOKS_PER_STEP": AT_A_TIME,
    }

    def __init__(self, url: str, folder: Path) -> None:
        self._in, self._done = folder / "in", folder / "done"
        self._in.mkdir()
        params = {"path": str(self._in), "settle_ms": 50, "content": "json", "on_success": "move", "processed": str(self._done)}
        super().__init__(url, folder, "filesystem", params)

    def number(self, payload: Any) -> int:
        number = int(payload["content"]["n"])
        assert payload["name"] == f"{number}.json" and payload["event"] == "create"
        return number

    async def hand_over(self, stage: Stage, count: int) -> None:
        half = self._in / ".half"
        for number in range(count):
            await stage.room(number)
            half.write_bytes(msgspec.json.encode({"n": number}))
            self.ledger.offered(number)
            half.rename(self._in / f"{number}.json")
            self.ledger.acknowledged(number)

    async def settled(self, stage: Stage) -> None:
        """All are moved, none under two names."""
        expected = {f"{number}.json" for number in self.ledger.told}
        await until(lambda: set(os.listdir(self._in)) <= {".half"}, "files moved", ENDS_S)
        found = set(os.listdir(self._done))
        assert found == expected, f"not moved, or twice: {sorted(found ^ expected)[:5]}"


class Callers(Served):
    """They keep at it, each with the same key, until they are told 202."""

    COUNT = 32
    BACKOFF_S = 0.2

    def __init__(self, url: str, folder: Path) -> None:
        self._address = ("127.0.0.1", free_port())
        super().__init__(url, folder, "webhook", {"host": self._address[0], "port": self._address[1], "path": "/in"})

    async def hand_over(self, stage: Stage, count: int) -> None:
        waiting = iter(range(count))
        async with asyncio.TaskGroup() as callers:
            for _ in range(self.COUNT):
                callers.create_task(self._caller(stage, waiting))

    @property
    def at_work(self) -> bool:  # type: ignore[override]
        return bool(self.ledger.handed_over - self.ledger.told.keys())

    async def under_way(self, stage: Stage) -> int:
        """Requests without an answer."""
        return len(self.ledger.handed_over - self.ledger.told.keys())

    async def settled(self, stage: Stage) -> None:
        """Nobody waits: all were answered."""

    async def _caller(self, stage: Stage, numbers: Iterator[int]) -> None:
        line: Line | None = None
        for number in numbers:
            await stage.room(number)
            answer = None
            while answer is None or answer.status == 503:
                try:
                    line = line or Line(*await asyncio.open_connection(*self._address))
                    answer = await self._ask(line, number)
                except (OSError, asyncio.IncompleteReadError):
                    answer = None
                if answer is None or answer.status == 503:
                    _hung_up(line)
                    line = None
                    self.ledger.retries += number in self.ledger.handed_over
                    await asyncio.sleep(self.BACKOFF_S)
            assert answer.status == 202, answer
            self.ledger.acknowledged(number, answer.value["run"])
        _hung_up(line)

    async def _ask(self, line: Line, number: int) -> Answer:
        headers = [("Content-Type", "application/json"), ("Idempotency-Key", f"k{number}")]
        self.ledger.offered(number)
        line.send(request("POST", "/in", msgspec.json.encode({"n": number}), headers))
        return await line.answer()


class Senders:
    """They send to a queue, which the coordinator serves: it is killed."""

    COUNT = 128
    CAPACITY = 100_000

    at_work = True

    def __init__(self, url: str, folder: Path) -> None:
        self.ledger = Ledger()
        self.trigger = {"type": "queue", "params": {"name": FLOW, "capacity": self.CAPACITY}}
        self._url, self._folder = url, folder

    def number(self, payload: Any) -> int:
        return int(payload["n"])

    async def hand_over(self, stage: Stage, count: int) -> None:
        waiting, queue = iter(range(count)), stage.client.queue(FLOW)
        async with asyncio.TaskGroup() as senders:
            for _ in range(self.COUNT):
                senders.create_task(self._sender(stage, queue, waiting))

    async def under_way(self, stage: Stage) -> int:
        """Messages without a run: in the queue, or events that no coordinator has made runs of."""
        there = set(self.ledger.told)
        await stage.witness.caught_up()
        return len(there - {each.number for each in stage.witness.begun})

    async def settled(self, stage: Stage) -> None:
        """The queue is empty: what a dead coordinator had taken has come again, and is settled."""
        queue = stage.client.queue(FLOW)
        async with asyncio.timeout(ENDS_S):
            while await queue.depth():
                await asyncio.sleep(0.02)

    async def _sender(self, stage: Stage, queue: Queue, numbers: Iterator[int]) -> None:
        for number in numbers:
            await stage.room(number)
            self.ledger.offered(number)
            id = await queue.put({"n": number}, id=f"m{number}")
            self.ledger.acknowledged(number, subjects.run_id(FLOW, f"{TRIGGER}/{id}"))

    def start(self) -> CommandProcess:
        folder = self._folder / "coordinator"
        small = {"jetfleet.broker.triggers.queue.source.QueueSource.in_flight_max": AT_A_TIME // 5}
        return CommandProcess(folder / "coordinator.log", "coordinator", "--nats", self._url, "--data", str(folder), constants=small)


def _hung_up(line: Line | None) -> None:
    if line is not None:
        line.writer.close()
