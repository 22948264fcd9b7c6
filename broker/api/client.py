"""The client of a fleet: deploy flows, start runs and wait for them, look at them, steer them.

    async with await Client.connect() as client:
        await client.deploy("order.yaml")
        result = await client.run("order", {"id": 7})

Guarantees: `start` checks what can be checked (the flow, the trigger, its `inputs`) before anything is published, and returns when the
event is on disk: from then on the run begins whatever dies. The same `id` is the same run, however often it is started. `result` ends when
the run has ended, also if every notice of it was missed.
Does not: start processes. The fleet may be all asleep: events wait for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from ...schemas import subjects
from ...schemas.errors import UsageError
from ...schemas.flow.definition import Payloads
from ...schemas.messages import BatchedEvent, TriggerState
from ...schemas.payload import NULL, Payload, encode
from ...schemas.plan.events import check_event, choose_trigger
from ...schemas.plan.parameters import with_defaults
from ...schemas.plan.plan import Plan
from ...schemas.subjects import URL_DEFAULT
from ..client import Connection
from ..credentials import Credentials
from ..deployment import deployed, ensure
from ..flows import Flows
from ..read_model import questions
from ..read_model.journal import ask_owner
from . import letters
from .approval_calls import ApprovalCalls
from .bulk import CONCURRENCY, Bulk
from .collected import CollectedHandle, collector_of
from .endings import Ending, Endings
from .errors import UnknownFlow
from .events import Events
from .flow_calls import FlowCalls
from .forking import fork_id, to_be_forked
from .handle import RunHandle
from .letters import Letter
from .outgoing import checkable
from .queue import Queue, Subjects
from .reopening import Reopening, to_be_retried
from .result import Result
from .standing import Standing, full_id, standing
from .steering import Steering
from .transfer import Carrying
from .triggers import TriggerControl, TriggerView
from .values import Values, is_small


class Client(FlowCalls, Carrying, ApprovalCalls):
    """Made by `connect`; safe for any number of tasks of one event loop. Looking at runs, and all about flows as a whole, is inherited."""

    def __init__(self, connection: Connection, partitions: int, arena: Path | None = None, flows: Flows | None = None) -> None:
        super().__init__(connection, partitions, flows)
        self.values = Values(connection, arena)
        self._events = Events(connection.publisher)
        self._endings = Endings(connection, partitions, self.outcome)
        self._steering = Steering(connection, partitions)
        self._triggers = TriggerControl(connection, self.flows)
        self._subjects = Subjects(connection, self.flows)

    @classmethod
    async def connect(
        cls,
        url: str | Sequence[str] = URL_DEFAULT,
        *,
        name: str = "jetfleet-client",
        credentials: Credentials | str | None = None,
        arena: Path | None = None,
    ) -> Self:
        """Connect to the fleet's server; on a fresh one the streams are made. Raises Unreachable after 5 s, and other BrokerErrors.

        `arena`: the folder of this host's arena, where there is one: large outputs of its workers are views of it then, not copies, and
        large values for flows whose durability is `host` are written there.
        """
        connection = await Connection.open(url, name=name, credentials=credentials)
        try:
            found = await deployed(connection)
            if found is None or not found.complete:
                found = await ensure(connection)
            client = cls(connection, found.partitions, arena)
            await client.flows.start()
        except BaseException:
            await connection.close()
            raise
        return client

    async def close(self) -> None:
        """Wait for what is being published, and disconnect."""
        await self.release()
        await self.flows.stop()
        await self.connection.close()

    async def release(self) -> None:
        """The same without disconnecting: for a client that was made on the connection and the flows of somebody else."""
        await self._events.close()
        await self._endings.close()
        await self._approvals.close()
        await self.values.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- runs

    async def start(
        self, flow: str, payload: Any = None, *, id: str | None = None, trigger: str | None = None, trace: str = ""
    ) -> RunHandle:
        """Start a run of a deployed flow by an event with this payload. Returns when the event is on disk.

        `id`: the idempotency key; `trigger`: which one counts as fired, where the flow has several; `trace`: a W3C traceparent. If that
        trigger is paused, the run begins once it is resumed; one that is disabled is refused. The payload
        may hold arrays, tables and other values with a codec; what is larger than the flow's `inline_max` goes into the object store
        first. Raises UnknownFlow, UsageError (which trigger?), EventRejected, UnencodableValue, UnknownCodec, ObjectsFull, BrokerError.
        """
        return await self._started(flow, *await self._event(flow, payload, id, trigger, trace))

    async def send(self, flow: str, payload: Any = None, *, id: str | None = None, trigger: str | None = None, trace: str = "") -> str:
        """Like `start` for those who do not ask what comes of it: the id of the run."""
        chosen, event = await self._event(flow, payload, id, trigger, trace)
        await self._events.send(subjects.event(flow, chosen), event)
        return subjects.run_id(flow, event.key)

    async def run(
        self,
        flow: str,
        payload: Any = None,
        *,
        id: str | None = None,
        trigger: str | None = None,
        trace: str = "",
        timeout_s: float | None = None,
    ) -> Result:
        """Start a run and wait for its end. Raises what `start` and `RunHandle.result` raise."""
        handle = await self.start(flow, payload, id=id, trigger=trigger, trace=trace)
        return await handle.result(timeout_s)

    async def handle(self, run: str) -> RunHandle:
        """The handle of a run that somebody else started."""
        ending = await self._endings.watch(run)
        self._endings.ask_now(ending)  # it may have ended long ago
        return RunHandle(self, ending)

    async def wait(self, ending: Ending, timeout_s: float | None, fetch: bool = True) -> Result:
        """What `RunHandle.result` passes on."""
        result = await self._endings.wait(ending, timeout_s)
        return await self.values.with_output(result) if fetch else result

    async def fetch(self, value: Any, *, raw: bool = False) -> Any:
        """A value with everything in it that lies elsewhere in its place: a `Ref` of a node's output, or a whole output with refs in it.

        `raw`: large `bytes` come as views instead of copies. Files come as `FileView`s: their names and bytes. Raises PayloadLost,
        PayloadCorrupt, UnknownCodec, KeyMissing, BrokerError; ArenaFull and RunTooLarge where they are to go into an arena here.
        """
        return await self.values.fetch(value, raw=raw)

    async def signal(self, run: str, name: str, value: Any = None, *, id: str = "") -> None:
        """Send a signal or the answer to an approval (`{"decision": "approve", …}`); kept if nobody waits for it yet. It may be large.

        Nothing is written if the run has ended, or waits for something else under that name: RunEnded, SignalRejected. A run that nobody
        knows may be about to begin, so its signal is kept. Where no coordinator answers, whoever takes the run over checks it.
        """
        if is_small(value):  # as nearly all signals are: it matters to none of them what the flow says about large values
            payload = encode(value)
        else:
            payload = await self.values.outgoing(value, run, await self._rules(run))
        await self._steering.signal(run, name, payload, id=id)

    async def event(self, name: str, value: Any = None, *, id: str = "") -> None:
        """Send an event to all runs that wait for it."""
        await self._steering.event(name, value, id=id)

    async def cancel(self, run: str, reason: str = "") -> None:
        """End a run with its compensations."""
        await self._steering.cancel(run, reason)

    async def kill(self, run: str, reason: str = "") -> None:
        """End a run without compensations."""
        await self._steering.cancel(run, reason, kill=True)

    async def pause(self, run: str, reason: str = "") -> None:
        """Start nothing new in a run; what is running ends normally, timers are held."""
        await self._steering.pause(run, reason)

    async def resume(self, run: str) -> None:
        await self._steering.resume(run)

    async def retry(self, run: str, *, reason: str = "") -> RunHandle:
        """Let a run that failed, or was cancelled or killed, go on: what it had completed stays, what failed or was undone is done again.

        Raises RunOpen, NotFailed, NothingToRetry, JournalGone, UnknownRun, ReaderAbsent, BrokerError; nothing was written then.
        """
        return await self._reopened(await to_be_retried(self, run), reason)

    async def fork(
        self,
        run: str,
        node: str,
        *,
        set: Mapping[str, Any] = MappingProxyType({}),
        id: str = "",
        version: str = "same",
        reason: str = "",
    ) -> RunHandle:
        """Let a copy of a run, open or ended, go on from a node (`charge`, `charge[2]`; without an index its first execution) as a new run.

        `set`: other values for it: `trigger.amount` of the event, `charge.total` of what a node put out that is kept. `id`: a key; the same
        run, node and key are one fork. `version`: `same` or `current`. Raises NeverRan, NoSuchValue, EventRejected, VersionUnfit,
        JournalGone, UnknownRun, UsageError, ReaderAbsent, BrokerError; nothing was written then.
        """
        if id and (there := await self._forked_before(fork_id(run, node, id))) is not None:
            return there
        return await self._reopened(await to_be_forked(self, run, node, set, id, version), reason)

    async def _forked_before(self, run: str) -> RunHandle | None:
        """The handle of a fork that is there already. Raises ReaderAbsent: a second one must not be made because nobody can tell."""
        known = await ask_owner(self.connection, run, self.partitions) or await questions.run(self.connection, run)
        return None if known is None else await self.handle(run)

    async def _reopened(self, reopening: Reopening, reason: str) -> RunHandle:
        ending = await self._endings.watch(reopening.run, reopening.after)
        await reopening.carry_out(self.connection, self.partitions, reason)
        return RunHandle(self, ending, reopened=reopening.report)

    async def full_id(self, text: str) -> str:
        """The id of the run that is called so, or whose id alone begins so. Raises UnknownRun, AmbiguousRun, ReaderAbsent, BrokerError."""
        return await full_id(self.connection, text, self.partitions)

    async def standing(self, run: str) -> Standing:
        """How a run is at this moment, open or ended. Raises UnknownRun, ReaderAbsent, BrokerError."""
        return await standing(self.connection, run, self.partitions)

    def bulk(self, verb: str, where: str, *, rate: float | None = None, concurrency: int = CONCURRENCY, **options: Any) -> Bulk:
        """One verb for all runs that a filter lets through: cancel, kill, pause, resume, signal, retry or fork.

        `rate`: runs per second at most; `options`: the arguments that the verb has besides the run. Nothing is done before `Bulk.act`.
        Raises UsageError.
        """
        return Bulk(self, verb, where, options, rate=rate, concurrency=concurrency)

    # --- triggers

    async def triggers(self, flow: str | None = None) -> list[TriggerView]:
        """The triggers of one flow, or of all that are deployed, with who serves them. Raises UnknownFlow, BrokerError."""
        return await self._triggers.views(flow)

    async def trigger(self, flow: str, trigger: str) -> TriggerView:
        """Raises UnknownFlow, UnknownTrigger, BrokerError, as all of these do."""
        return await self._triggers.view(flow, trigger)

    async def pause_trigger(self, flow: str, trigger: str, reason: str = "") -> TriggerState:
        """Let it take nothing more; what happens meanwhile waits where it can. Events of it wait too, whoever sends them."""
        return await self._triggers.decide(flow, trigger, "pause", reason)

    async def resume_trigger(self, flow: str, trigger: str, reason: str = "") -> TriggerState:
        return await self._triggers.decide(flow, trigger, "resume", reason)

    async def disable_trigger(self, flow: str, trigger: str, reason: str = "") -> TriggerState:
        """Let it be as if it were not in its flow: its source is closed, and events of it are refused."""
        return await self._triggers.decide(flow, trigger, "disable", reason)

    async def enable_trigger(self, flow: str, trigger: str, reason: str = "") -> TriggerState:
        return await self._triggers.decide(flow, trigger, "enable", reason)

    def chosen_trigger(self, flow: str, trigger: str | None = None) -> str | None:
        """The trigger that `fire` fires: the named one, or the only one; None if the flow has none. Raises as `fire` does."""
        return self._triggers.choose(self.require(flow), trigger)

    async def fire(
        self,
        flow: str,
        trigger: str | None = None,
        payload: Any = None,
        *,
        key: str | None = None,
        meta: Mapping[str, Any] | None = None,
        trace: str = "",
    ) -> RunHandle:
        """Start a run as if the trigger had fired, whether anybody serves it or not; of a paused one it begins once that is resumed.

        `trigger` may be left out where the flow has one. `key` tells firings of the trigger apart: what fired with this key already is not
        fired again. Parameters that a manual trigger declares get their defaults. Raises as `start` does, and UnknownTrigger.
        """
        chosen = self.chosen_trigger(flow, trigger)
        if chosen is None:
            raise UsageError(f"flow {flow!r} has no trigger that could fire; start a run of it with `jetfleet send {flow}`")
        said = encode(dict(meta)) if meta else NULL
        key = f"{chosen}/{uuid.uuid4().hex if key is None else key}"
        return await self._started(flow, *await self._event(flow, payload, key, chosen, trace, said))

    # --- messages for queue triggers

    def queue(self, name: str) -> Queue:
        """The queue that flows name in a trigger, or `<flow>-<trigger>`. Raises UsageError for what is no name."""
        return Queue(name, self.connection, self.flows)

    async def publish(
        self,
        subject: str,
        value: Any = None,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        trace: str = "",
    ) -> str:
        """Send a message to all flows with a queue trigger whose `subjects` match; its id, when it is on disk.

        The arguments are those of `Queue.send`. Raises NobodyListens, UnencodableValue, UsageError, BrokerError.
        """
        return await self._subjects.send(subject, value, id=id, key=key, headers=headers, trace=trace)

    # --- dead letters

    async def dead_letters(self) -> list[Letter]:
        """What could not be read or placed, oldest first."""
        return await letters.dead_letters(self.connection)

    async def dead_letter(self, seq: int) -> Letter:
        """Raises UsageError if there is none with this number."""
        return await letters.dead_letter(self.connection, seq)

    async def redrive(self, seq: int) -> Letter:
        """Publish a dead letter's message again. Raises UsageError, SentLately, BrokerError."""
        return await letters.redrive(self.connection, seq)

    async def drop_letter(self, seq: int) -> Letter:
        """Forget a dead letter that nobody will send again. Raises UsageError if there is none with this number."""
        return await letters.drop(self.connection, seq)

    async def waiting_events(self) -> dict[str, int]:
        """How many events wait on each subject whose flow is not deployed."""
        return await letters.waiting_events(self.connection, self.flows.names())

    # ---

    async def _event(
        self, flow: str, payload: Any, id: str | None, trigger: str | None, trace: str, meta: Payload = NULL
    ) -> tuple[str | None, BatchedEvent]:
        """The trigger that fires and the event, checked as far as this process can, with what is large in the object store."""
        if self.flows.current(flow) is None:
            await self.flows.caught_up()  # somebody else may have deployed it a moment ago
        self.require(flow)
        key = uuid.uuid4().hex if id is None else id
        plan = self.flows.begins_with(flow, subjects.run_id(flow, key), trigger) or self.require(flow)
        chosen = choose_trigger(plan, trigger, self._triggers.disabled(plan))
        payload = with_defaults(plan, chosen, payload)
        if plan.inputs is not None:
            check_event(plan, checkable(payload))
        data = await self.values.outgoing(payload, subjects.run_id(flow, key), plan.payloads)
        return chosen, BatchedEvent(key, data, trace, meta)

    async def _started(self, flow: str, trigger: str | None, event: BatchedEvent) -> RunHandle:
        ending = await self._endings.watch(subjects.run_id(flow, event.key))  # before it can end
        plan = self.flows.begins_with(flow, ending.run, trigger) or self.require(flow)
        collector = None if plan.collecting is None else collector_of(plan, trigger, event)
        await self._events.send(subjects.event(flow, trigger), event)
        held = self._triggers.held(flow, trigger)
        return RunHandle(self, ending, held) if collector is None else CollectedHandle(self, ending, held, collector)

    async def _rules(self, run: str) -> Payloads:
        """How large values of a run travel, as its flow says; the usual way where nobody can tell which flow that is."""
        view = await self.look(run)
        return Payloads() if view is None else (await self.flows.fetch(view.digest)).payloads

    def require(self, flow: str) -> Plan:
        """The plan of a deployed flow. Raises UnknownFlow, BrokenDefinition."""
        plan = self.flows.current(flow)
        if plan is None:
            raise UnknownFlow(flow, self.flows.names())
        return plan
