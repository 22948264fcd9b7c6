"""A stand-in for the owners of all partitions: it publishes tasks, answers whether they are wanted, and reads the completions.

The flow has one node per type of `worker_nodes.py`; `task("double", …)` is a task of the node of that name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.client import Connection, Message, Tail
from jetfleet.broker.definitions import define
from jetfleet.broker.deployment import Deployed, deployed, ensure, ensure_queue
from jetfleet.broker.topology import Topology, queue_consumer_config
from jetfleet.broker.versions import deploy
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.messages import AttemptId, DeadLetter, Task, decode, encode_all, split
from jetfleet.schemas.payload import decode as value_of
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import Completion

from .following import Following

NODES = str(Path(__file__).with_name("worker_nodes.py"))
NAMES = ("double", "noted", "gated", "blocking", "large", "segfault", "exit", "spin", "hoard", "busy")
FLOW = Flow.model_validate(
    {
        "name": "tasks",
        "triggers": [{"id": "go", "type": "manual"}],
        "nodes": {name: {"type": f"t.{name}"} for name in NAMES},
        "edges": [{"from": "go", "to": name} for name in NAMES],
    }
)
PLAN = compile_flow(FLOW)


def task(name: str, run: str, value: Any = None, *, attempt: int = 1, repeated: bool = False) -> Task:
    return Task(run, (PLAN.node(name).index,), attempt, PLAN.digest, encode(value), repeated=repeated)


class Owner(Following):
    """`completions` has every one that was recorded, by run, in the order of the log. `unwanted` runs are those that have ended."""

    DEADLINE_S = 20

    def __init__(self, connection: Connection, found: Deployed) -> None:
        super().__init__()
        self.connection = connection
        self.deployed = found
        self.completions: dict[str, list[Completion]] = {}
        self.letters: list[DeadLetter] = []
        self.unwanted: set[str] = set()
        self.asked: list[AttemptId] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._tails = [Tail(connection, subjects.wal_stream(p), 1, self._record) for p in range(found.partitions)]
        self._tails.append(Tail(connection, subjects.DEAD, 1, self._letter))

    async def start(self, answering: bool = True) -> None:
        await super().start()
        if answering:
            await self.answer()

    async def answer(self) -> None:
        """Begin to answer questions."""
        for partition in range(self.deployed.partitions):
            await self.connection.subscribe(subjects.verify(partition), self._question)

    async def stop(self) -> None:
        for answering in list(self._answering):
            answering.cancel()
        await super().stop()

    async def give(self, tasks: Sequence[Task], queue: str = "default", deaths: int = 0) -> None:
        """Publish these tasks as one message, that so many workers are said to have died of."""
        headers = {subjects.DEATHS_HEADER: str(deaths)} if deaths else {}
        await self.connection.publisher.publish(subjects.tasks(queue), encode_all(tasks), headers=headers)

    async def ends(self, *runs: str, deadline_s: float = 20) -> list[Completion]:
        """The first completion of each of these runs, as soon as all are there."""
        await self.until(lambda: all(run in self.completions for run in runs), f"completions of {runs}", deadline_s)
        return [self.completions[run][0] for run in runs]

    async def tasks_left(self) -> int:
        """Messages in the stream that nobody has acknowledged yet."""
        info = await self.connection.streams.stream_info(subjects.TASKS)
        assert info is not None
        return int(info["state"]["messages"]) - 1  # the epoch is one

    async def none_left(self, deadline_s: float = 15) -> None:
        async with asyncio.timeout(deadline_s):
            while await self.tasks_left():
                await asyncio.sleep(0.01)

    def _so_far(self) -> str:
        return f"; recorded: {sorted(self.completions)}"

    def _record(self, message: Message) -> None:
        for record in decode_batch(message.data)[0]:
            assert isinstance(record, Completion)
            self.completions.setdefault(record.run, []).append(record)
            self.unwanted.add(record.run)
        self._changed.set()

    def _letter(self, message: Message) -> None:
        self.letters.append(decode(DeadLetter, message.data))
        self._changed.set()

    def _question(self, message: Message) -> None:
        asked = [decode(AttemptId, entry) for entry in split(message.data)]
        self.asked += asked
        task = asyncio.get_running_loop().create_task(self._tell(message, asked))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _tell(self, message: Message, asked: list[AttemptId]) -> None:
        """As owners do: not before everything in the log has been taken in."""
        await self.caught_up()
        await message.respond(encode([one.run not in self.unwanted for one in asked]))


@asynccontextmanager
async def owner(url: str, *, ack_wait_s: float | None = None, answering: bool = True, deploying: bool = True) -> AsyncIterator[Owner]:
    """A fleet of two partitions with the flow deployed. `ack_wait_s` is that of the queue `default`."""
    async with await Connection.open(url, name="owner") as connection:
        await ensure(connection, Topology(partitions=2))
        if deploying:
            await deploy(connection, define(FLOW))
        await ensure_queue(connection, "default")
        if ack_wait_s is not None:
            config = queue_consumer_config("default") | {"ack_wait": int(ack_wait_s * 1e9)}
            await connection.streams.create_or_update_consumer(subjects.TASKS, config)
        found = await deployed(connection)
        assert found is not None
        one = Owner(connection, found)
        await one.start(answering)
        try:
            yield one
        finally:
            await one.stop()


def output(completion: Completion) -> Any:
    assert completion.error is None, completion.error
    return value_of(completion.output)
