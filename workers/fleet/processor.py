"""The processor: what becomes of a message of tasks.

    message ─▶ unit of work ─┬─ several workers died of it ───▶ alone in a message, then tried in a process of its own (trials.py)
                             ├─ delivered before, repeated,
                             │  or given back ────────────────▶ a suspect (suspects.py): ask, then as below
                             └─ otherwise, by node ─┬─ inline ──▶ the inline lane
                                                    ├─ any other ▶ a slot
                                                    ├─ not served here, plan unknown ▶ given back after a while
                                                    └─ unreadable ▶ dead letter

The message is acknowledged when everything that is owed for it is on disk: a completion per wanted task, a dead letter, a copy.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic
from typing import Any

import structlog

from ...broker.client import BrokerError, Connection, Message
from ...broker.flows import Flows
from ...broker.observe.counters import WorkerCounters
from ...schemas.errors import JetfleetError, UnreadableRecord
from ...schemas.messages import AttemptId, Task, decode, encode, split
from ...schemas.plan.plan import Plan, PlanNode
from ...schemas.records import Completion, Error
from ...schemas.subjects import EPOCH_HEADER
from .attempts import Attempts, Still
from .completions import Completions
from .dead_letters import DeadLetters
from .doubt import Doubt
from .give_back import GiveBack
from .inline_lane import InlineLane
from .ledger import NO_CELL, Ledger
from .reading import tasks_of
from .ready import Ready
from .settings import DEATHS_HEADER, SUSPECT_DEATHS
from .suspects import Suspects
from .traced import Traced
from .trials import Trials
from .unit import UnitOfWork
from .verifier import Verifier

LACKING_DELAY_S = (0.5, 2.0)
"""Tasks of a type that is not served here are given back after a moment between these: so that they do not go round in circles."""


class Processor:
    """`units`: the messages in work. `on_room` is called when there is room for more."""

    def __init__(
        self,
        connection: Connection,
        flows: Flows,
        traced: Traced,
        attempts: Attempts,
        completions: Completions,
        ledger: Ledger,
        partitions: int,
        max_deliveries: int,
        counters: WorkerCounters,
        on_room: Callable[[], None],
    ) -> None:
        self.units: dict[UnitOfWork, None] = {}
        self.epoch = ""
        """Of the tasks that the server has in memory now."""
        self.doubt = Doubt(connection)
        self.lane = InlineLane(traced, completions, on_room)
        self.attempts = attempts
        self.give_back = GiveBack(connection, counters)
        self.asking = 0
        """Tasks about which an owner is being asked: it will say of most that they are wanted, and then they need slots."""
        self.lacking: Counter[str] = Counter()
        """Tasks that were given back, by the node type that this worker does not serve."""
        self._counters = counters
        self._flows = flows
        self._executor = traced.executor
        self._registry = traced.executor.registry
        self._completions = completions
        self._ledger = ledger
        self._dead_letters = DeadLetters(connection.publisher)
        self._suspects = Suspects(Verifier(connection, partitions), completions.watch, self.lane.passed, completions.so_far)
        self._trials = Trials(traced, attempts, completions, self._suspects, max_deliveries, self._poisoned, on_room)
        self._on_room = on_room
        self._background: set[asyncio.Task[None]] = set()
        self._ended: list[UnitOfWork] = []
        self.in_aftermath: Callable[[], bool] = lambda: False
        """Whether this process was just stopped for a while: what comes in may have been sent long ago."""
        self.lane.needs_slot = self._start
        self.lane.ask_again = self._ask_first

    @property
    def load(self) -> int:
        """How many slots are taken, or will be by what waits here."""
        return self.attempts.load + self.lane.load + self._trials.waiting

    def take(self, message: Message) -> None:
        """Begin with a message. Never blocks."""
        unit = UnitOfWork(message, self._ledger, self._end)
        self.units[unit] = None
        tasks = tasks_of(unit, self._dead_letters)
        unit.owed += len(tasks)
        self._counters.redeliveries += bool(unit.deaths)
        if unit.deaths >= SUSPECT_DEATHS:
            self._spawn(unit, self._try(unit, tasks))
        elif unit.deaths or self._is_suspect(message) or self.in_aftermath():
            self._ask_first(unit, tasks)
        elif repeated := [task for task in tasks if task.repeated]:
            self._ask_first(unit, repeated)
            self._distribute(unit, [task for task in tasks if not task.repeated])
        else:
            self._distribute(unit, tasks)
        unit.settled(1)

    def decline(self, message: Message) -> None:
        """Give a message back at once, for any worker of the queue. Never blocks."""
        unit = UnitOfWork(message, self._ledger, self._end)
        self.units[unit] = None
        tasks = tasks_of(unit, self._dead_letters)
        unit.owed += len(tasks)
        if tasks:
            self.give_back.tasks(unit, tasks, 0)
        unit.settled(1)

    def called_off(self, message: Message) -> None:
        """A notice that attempts are no longer wanted."""
        try:
            notices = [decode(AttemptId, entry) for entry in split(message.data)]
        except UnreadableRecord as error:
            _warn("a notice of cancellation cannot be read", error=str(error))
            return
        for notice in notices:
            self.attempts.call_off((notice.run, notice.activation, notice.attempt))

    async def abandon(self, deadline_s: float) -> int:
        """Call off what is in work and give it back; how many messages it was."""
        units, self.units = list(self.units), {}
        for unit in units:
            unit.end = _nothing
        for task in list(self._background):
            task.cancel()
        self.lane.clear()
        self.attempts.call_off_all()
        await asyncio.gather(*(self.give_back.message(unit, deadline_s) for unit in units))
        for unit in units:
            self._ledger.clear(unit.cell)
            unit.cell = NO_CELL
        return len(units)

    # --- from a message to tasks

    def _is_suspect(self, message: Message) -> bool:
        """Whether any of its tasks may have been executed: given back, published before the server lost its memory, or doubted."""
        headers = message.headers
        return DEATHS_HEADER in headers or headers.get(EPOCH_HEADER, self.epoch) != self.epoch or self.doubt.covers(message)

    def _ask_first(self, unit: UnitOfWork, tasks: list[Task]) -> None:
        self.asking += len(tasks)
        self._spawn(unit, self._distribute_wanted(unit, tasks))

    async def _distribute_wanted(self, unit: UnitOfWork, tasks: list[Task]) -> None:
        try:
            found = await self._find(unit, tasks)  # before they are asked about: an answer is true for now, not for later
            answers = await self._suspects.wanted([task for task, _, _ in found])
        finally:
            self.asking -= len(tasks)
        unit.known_at = monotonic()
        inline: list[Ready] = []
        for ready in itertools.compress(found, answers):
            if self._goes_inline(ready) and not self._in_slot(ready):
                inline.append(ready)
            else:
                self._start(unit, ready, self._suspects.still(ready[0]))
        if inline:
            turns = self._suspects.in_turn(inline, self._in_slot, partial(self._start, unit), partial(self._ask_first, unit))
            self.lane.add(unit, turns)
        if not all(answers):
            unit.settled(answers.count(False))

    async def _try(self, unit: UnitOfWork, tasks: list[Task]) -> None:
        """Several workers died of this message. Its tasks part, so that from now on each answers for itself."""
        if len(tasks) == 1:
            for ready in await self._find(unit, tasks):
                await self._trials.execute(unit, ready)
            return
        answers = await self._suspects.wanted(tasks)
        await self.give_back.parted(unit, list(itertools.compress(tasks, answers)))
        unit.settled(len(tasks))

    async def _find(self, unit: UnitOfWork, tasks: list[Task]) -> list[Ready]:
        """Those that can be executed here, with their plans."""
        for digest in {task.digest for task in tasks}:
            await self._fetch(digest)
        return self._locate(unit, tasks)

    # --- from tasks to where they are executed

    def _distribute(self, unit: UnitOfWork, tasks: list[Task]) -> None:
        if any(self._flows.plan(digest) is None for digest in {task.digest for task in tasks}):
            self._spawn(unit, self._fetch_then_distribute(unit, tasks))
            return
        inline: list[Ready] = []
        for ready in self._locate(unit, tasks):
            if self._goes_inline(ready):
                inline.append(ready)
            else:
                self._start(unit, ready)
        if inline:
            self.lane.add(unit, inline)

    async def _fetch_then_distribute(self, unit: UnitOfWork, tasks: list[Task]) -> None:
        known = {digest for digest in {task.digest for task in tasks} if await self._fetch(digest)}
        ready = [task for task in tasks if task.digest in known]
        missing = [task for task in tasks if task.digest not in known]
        if missing:
            self.give_back.tasks(unit, missing, _a_moment())
        if ready:
            self._distribute(unit, ready)

    async def _fetch(self, digest: str) -> bool:
        """Whether the plan is there now."""
        if self._flows.plan(digest) is not None:
            return True
        try:
            await self._flows.fetch(digest)
        except JetfleetError as error:
            _warn("tasks given back: their plan is not to be had", digest=digest[:12], code=error.code, error=str(error))
            return False
        return True

    def _locate(self, unit: UnitOfWork, tasks: list[Task]) -> list[Ready]:
        """The tasks that can be executed here; the others are given back or buried."""
        found: list[Ready] = []
        lacking: list[Task] = []
        for task in tasks:
            plan = self._flows.plan(task.digest)
            node = None if plan is None else _node(plan, task)
            if plan is not None and node is None:
                error = UnreadableRecord(f"flow {plan.name!r} ({plan.digest[:12]}) has no node {task.activation[:1]}")
                self._dead_letters.bury(unit, encode(task), error, f"run {task.run}")
                unit.settled(1)
            elif plan is None or node is None or self._registry.get(node.type) is None:
                lacking.append(task)
                self._note_lacking(node)
            else:
                found.append((task, plan, node))
        if lacking:
            self.give_back.tasks(unit, lacking, _a_moment())
        return found

    def _note_lacking(self, node: PlanNode | None) -> None:
        if node is None:
            return
        if node.type not in self.lacking:
            _warn("this worker does not serve a node type: its tasks are given back", type=node.type, node=node.id)
        self.lacking[node.type] += 1

    def _goes_inline(self, ready: Ready) -> bool:
        task, plan, node = ready
        spec = self._registry.get(node.type)
        return spec is not None and spec.mode == "inline" and self._executor.is_at_hand(plan, task)

    def _in_slot(self, ready: Ready) -> bool:
        return self.attempts.has(ready[0])

    def _start(self, unit: UnitOfWork, ready: Ready, still: Still | None = None) -> None:
        _, plan, node = ready

        def done(completion: Completion | None) -> None:
            if completion is None:
                self._completions.counters(node).called_off += 1
                unit.settled(1)
            else:
                self._completions.put(completion, plan, node, unit)
            self._on_room()

        self.attempts.start(ready, done, unit.begin, unit.pause, still=still)

    # --- ends

    def _end(self, unit: UnitOfWork) -> None:
        """Nothing is owed any more. Messages that end together are acknowledged together."""
        self._ended.append(unit)
        if len(self._ended) == 1:
            task = asyncio.get_running_loop().create_task(self._acknowledge())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _acknowledge(self) -> None:
        ended, self._ended = self._ended, []
        for unit in ended:
            self.units.pop(unit, None)
            if unit.error is None:
                await unit.message.ack()
            else:
                _warn("a message of tasks goes back to the server", code=unit.error.code, error=str(unit.error))
                await unit.message.nak(_a_moment())
            self._ledger.clear(unit.cell)
            unit.cell = NO_CELL
        self._on_room()

    def _poisoned(self, unit: UnitOfWork, ready: Ready, error: Error) -> None:
        task, _, node = ready
        self._dead_letters.bury(unit, encode(task), error, f"run {task.run} node {node.id} attempt {task.attempt}")

    def _spawn(self, unit: UnitOfWork, work: Coroutine[Any, Any, None]) -> None:
        unit.owed += 1  # until the work itself is through
        task = asyncio.get_running_loop().create_task(self._see_through(unit, work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _see_through(self, unit: UnitOfWork, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BrokerError as error:
            unit.failed(error)
        except Exception as error:
            structlog.get_logger("jetfleet.worker").exception("a defect of jetfleet: a message of tasks goes back to the server")
            unit.failed(BrokerError(f"a defect of jetfleet: {error!r}"))
        else:
            unit.settled(1)


def _node(plan: Plan, task: Task) -> PlanNode | None:
    index = task.activation[0] if task.activation else None
    return plan.nodes[index] if isinstance(index, int) and 0 <= index < len(plan.nodes) else None


def _a_moment() -> float:
    return random.uniform(*LACKING_DELAY_S)


def _nothing(unit: UnitOfWork) -> None:
    pass


def _warn(event: str, **fields: Any) -> None:
    structlog.get_logger("jetfleet.worker").warning(event, **fields)
