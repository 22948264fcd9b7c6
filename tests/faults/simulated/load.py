"""The load: events that are published, answers that runs wait for, and people who steer them. All of it by the real client.

Who gets no answer to a publish says so to the ledger, and publishes again with the same key until there is one. So do those who answer
waits, and those who pause a run: what they began, they bring to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.broker.api.errors import RunEnded
from jetfleet.broker.client import BrokerError
from jetfleet.broker.engine import Run, outstanding
from jetfleet.broker.waiting import SignalRejected
from jetfleet.schemas import subjects
from jetfleet.schemas.effects import Await
from jetfleet.schemas.errors import JetfleetError

from ...engine.programs import answer
from ..ledger import Ledger
from .actors import URL, Actor
from .machines import Machines
from .programs import SimulatedFlow

AGAIN_S = 0.4
LOOK_S = 0.25
STEPS = ("cancel", "kill", "pause")


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """An event to be published so long after the load began. `steering`: what somebody does to its run later on."""

    at_s: float
    flow: str
    key: str
    value: Any
    steering: str = ""

    @property
    def run(self) -> str:
        return subjects.run_id(self.flow, self.key)


class PublisherActor(Actor):
    """Publishes its orders, each until it is acknowledged. What it had on its way when it was killed, the next one begins anew."""

    role = "publisher"

    def __init__(
        self, name: str, machines: Machines, crashed: Callable[[Actor, BaseException], None], host: str, orders: list[Order], ledger: Ledger
    ) -> None:
        super().__init__(name, machines, crashed, host)
        self.left = dict.fromkeys(orders, False)
        """Orders that are not acknowledged; whether their publish was begun."""
        self._ledger = ledger
        self._began_s = asyncio.get_running_loop().time()

    @property
    def is_done(self) -> bool:
        return not self.left

    async def _main(self, stopping: asyncio.Event) -> None:
        async with await Client.connect(URL, name=self.name) as client:
            waiting = [asyncio.create_task(self._publish(client, order)) for order in self.left]
            await asyncio.gather(*waiting)
            await stopping.wait()

    async def _publish(self, client: Client, order: Order) -> None:
        await asyncio.sleep(max(0.0, self._began_s + order.at_s - asyncio.get_running_loop().time()))
        unknown = self.left[order]
        if unknown:  # of the process before
            self._ledger.unknown(order.key)
        self.left[order] = True
        while True:
            try:
                handle = await client.start(order.flow, order.value, id=order.key)
                break
            except BrokerError:
                if not unknown:
                    self._ledger.unknown(order.key)
                unknown = True
            await asyncio.sleep(AGAIN_S)
        self._ledger.acked(order.key, handle.id)
        if unknown:
            self._ledger.resolved(order.key, "repeated")
        self.left.pop(order)
        with suppress(JetfleetError):  # a notice that was missed is asked for at a reader, and there is none
            result = await handle.result(30.0)
            self._ledger.terminal(handle.id, result.status)
            self._ledger.progress("run ended")


class UserActor(Actor):
    """Answers what runs wait for, and steers some. `runs` shows the open ones: a person would see them in a list."""

    role = "user"

    def __init__(
        self,
        name: str,
        machines: Machines,
        crashed: Callable[[Actor, BaseException], None],
        host: str,
        flows: dict[str, SimulatedFlow],
        runs: Callable[[], Iterator[Run]],
        orders: list[Order],
        ledger: Ledger,
    ) -> None:
        super().__init__(name, machines, crashed, host)
        self.answered: set[tuple[str, int]] = set()
        self.steered: set[str] = set()
        self._under_way: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows, self._runs, self._ledger = flows, runs, ledger
        self._steering = {order.run: order for order in orders if order.steering}

    async def _main(self, stopping: asyncio.Event) -> None:
        self._under_way.clear()
        async with await Client.connect(URL, name=self.name) as client:
            while not stopping.is_set():
                await asyncio.sleep(LOOK_S)
                for run in list(self._runs()):
                    self._look_at(client, run)

    def _look_at(self, client: Client, run: Run) -> None:
        order = self._steering.get(run.id)
        if order is not None and run.id not in self.steered:
            self.steered.add(run.id)
            self._do(self._steer(client, order))
        flow = self._flows.get(run.plan.name)
        for effect in outstanding(run) if flow is not None else ():
            key = run.id, effect.wait if isinstance(effect, Await) else 0
            if isinstance(effect, Await) and key not in self.answered and key not in self._under_way:
                wait = flow.waits[effect.name]  # type: ignore[union-attr]
                if wait.kind != "timeout":
                    self._under_way.add(key)
                    self._do(self._answer(client, key, effect.name, answer(wait)))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, client: Client, key: tuple[str, int], name: str, said: dict[str, Any]) -> None:
        with suppress(RunEnded, SignalRejected):
            await _until_taken(lambda: client.signal(key[0], name, said, id=f"answer-{key[1]}"))
        self.answered.add(key)

    async def _steer(self, client: Client, order: Order) -> None:
        if order.steering == "pause":
            await _until_taken(lambda: client.pause(order.run))
            await asyncio.sleep(Random(order.key).choice((0.1, 1.0, 4.0)))
            await _until_taken(lambda: client.resume(order.run))
            return
        await _until_taken(lambda: client.cancel(order.run) if order.steering == "cancel" else client.kill(order.run))
        self._ledger.cancelled(order.run)


async def _until_taken(say: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await say()
        except BrokerError:
            await asyncio.sleep(AGAIN_S)


def make_orders(chance: Random, flows: list[SimulatedFlow], count: int, within_s: float, values: tuple[Any, ...]) -> list[Order]:
    """Events over a while; some in a burst, some published twice with the same key, some whose run is steered."""
    orders = []
    for number in range(count):
        at_s = chance.choice((0.0, chance.uniform(0, within_s)))
        flow = chance.choice(flows)
        steering = chance.choice(STEPS) if chance.random() < 0.12 else ""
        orders.append(Order(at_s, flow.name, f"k{number}", chance.choice(values), steering))
    again = [order for order in orders if chance.random() < 0.15]
    return orders + [Order(order.at_s + chance.uniform(0, 4), order.flow, order.key, order.value) for order in again]
