"""The flow registry: what is deployed, as every process of the fleet sees it.

The stream FLOWS holds four kinds of messages, the last of each subject: `plan.<digest>`, a version's Definition, which stays for the runs
that need it; `flow.<name>`, which version is current; `flow.<name>.state`, whether somebody has paused the flow or drains it;
`trigger.<flow>.<trigger>`, whether somebody has paused or disabled a trigger. Deploying (versions.py) writes the first two in this order,
so whoever sees a current version can read it. A plan never travels: each process compiles the definition, and the digest must come out as
it was deployed.

`Flows` is a cache that follows the stream. It answers from memory, a little behind the broker. What somebody broken or newer wrote
there is logged and left out; it keeps nobody from the other flows.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ..schemas import messages, subjects
from ..schemas.errors import JetfleetError, UnreadableRecord
from ..schemas.messages import RUNNING, Current, Definition, FlowState, TriggerState
from ..schemas.plan.plan import Plan
from .client import Connection, Message, Tail
from .definitions import BrokenDefinition, DigestMismatch, compile_definition
from .versions import chooses_next

_log = structlog.get_logger(__name__)


class PlanUnknown(JetfleetError):
    """No version of a flow was deployed under this digest."""

    code = "PLAN_UNKNOWN"


class Flows:
    """The deployed flows and their plans. Plans are compiled when they are first asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._current: dict[str, Current] = {}
        self._definitions: dict[str, Definition] = {}
        self._versions: dict[str, dict[str, Definition]] = {}
        """The same by name of the flow, and by digest."""
        self._plans: dict[str, Plan] = {}
        self._broken: dict[str, JetfleetError] = {}
        self._triggers: dict[str, dict[str, TriggerState]] = {}
        self._states: dict[str, tuple[FlowState, int]] = {}
        self._tail = Tail(connection, subjects.FLOWS, 1, self._take, filter_subject=">", on_anew=self._lost)
        self.on_change: list[Callable[[str], None]] = []
        """Told the name of each flow that has another current version now, or none, or about which something was decided."""

    async def start(self) -> None:
        """Follow the registry; returns when everything that is in it now has been read."""
        await self._tail.start()
        await self._tail.caught_up()

    async def stop(self) -> None:
        await self._tail.stop()

    async def caught_up(self) -> None:
        """Returns when everything that was deployed before the call has been read."""
        await self._tail.caught_up()

    def _lost(self) -> None:
        """What the server has lost of the registry stays known here, for the runs that need it; what it has is read again."""

    def names(self) -> list[str]:
        """The flows that are deployed."""
        return sorted(self._current)

    def version(self, name: str) -> Current | None:
        """Which version of the flow is current; None if it is not deployed."""
        return self._current.get(name)

    def definition(self, digest: str) -> Definition | None:
        return self._definitions.get(digest)

    def current(self, name: str) -> Plan | None:
        """The plan of the flow's current version; None if the flow is not deployed, or the definition is broken."""
        version = self._current.get(name)
        return None if version is None else self.plan(version.digest)

    def begins_with(self, name: str, run: str, trigger: str | None = None) -> Plan | None:
        """The plan that a run with this id begins with: the current version's, or the next one's. None as for `current`.

        If only one of the two has the trigger that is named, it is that one. A next version that cannot be read here is left out.
        """
        current, version = self.current(name), self._current.get(name)
        if current is None or version is None or not version.next:
            return current
        plans = self.begun_with(name) if trigger is None else [plan for plan in self.begun_with(name) if plan.trigger(trigger) is not None]
        if len(plans) == 1:
            return plans[0]
        next = self.plan(version.next)
        return next if next is not None and chooses_next(run, version.share) else current

    def is_moving(self, name: str) -> bool:
        """Whether new runs of the flow begin with one of two versions."""
        version = self._current.get(name)
        return version is not None and version.next != ""

    def begun_with(self, name: str) -> list[Plan]:
        """The plans that new runs of the flow begin with: one, or two while they are being moved."""
        version = self._current.get(name)
        digests = () if version is None else (version.digest, version.next)
        return [plan for digest in digests if digest and (plan := self.plan(digest)) is not None]

    def versions(self, name: str) -> list[Definition]:
        """Every version of the flow that was ever deployed, in the order in which it was deployed last."""
        return sorted(self._versions.get(name, {}).values(), key=lambda definition: definition.deployed_at)

    def state(self, name: str) -> FlowState:
        """What was decided about the flow; `running` if nothing was."""
        found = self._states.get(name)
        return FlowState(name, RUNNING) if found is None else found[0]

    def state_seq(self, name: str) -> int:
        """The sequence of the message that this decision stands in; 0: nothing was ever decided."""
        return self._states[name][1] if name in self._states else 0

    def decided(self) -> list[str]:
        """The flows about which something was ever decided, also where that was undone later."""
        return list(self._states)

    def is_held(self, name: str) -> bool:
        """Whether no run of the flow may start, by decision."""
        found = self._states.get(name)
        return found is not None and found[0].state != RUNNING

    def trigger_state(self, flow: str, trigger: str) -> TriggerState:
        """What was decided about a trigger; `running` if nothing was."""
        return self._triggers.get(flow, {}).get(trigger) or TriggerState(flow, trigger, RUNNING)

    def trigger_states(self, flow: str) -> dict[str, TriggerState]:
        """What was ever decided about triggers of the flow, by their ids, also where that was undone later."""
        return self._triggers.get(flow, {})

    def plan(self, digest: str) -> Plan | None:
        """The plan with this digest; None if it is not known (yet), or broken: `fetch` says which."""
        plan = self._plans.get(digest)
        if plan is None and digest in self._definitions and digest not in self._broken:
            plan = self._compile(self._definitions[digest])
        return plan

    async def fetch(self, digest: str) -> Plan:
        """The plan with this digest, read from the broker if need be. Raises PlanUnknown, BrokenDefinition, BrokerError."""
        if digest not in self._definitions:
            # A digest may come from anybody's record: a wildcard would find another plan, and white space make the server refuse.
            is_word = subjects.is_word(digest)
            stored = await self._connection.streams.last(subjects.FLOWS, subjects.plan(digest)) if is_word else None
            if stored is None:
                raise PlanUnknown(f"no version of a flow is deployed under {digest[:12]}; deploy the flow again (`jetfleet deploy`)")
            self._define(stored.data, digest)
        plan = self.plan(digest)
        if plan is None:
            raise self._broken[digest]
        return plan

    def _take(self, message: Message) -> None:
        kind, _, name = message.subject.partition(".")
        if kind == "plan":
            self._define(message.data, name)
        elif kind == "flow":
            flow, _, what = name.partition(".")
            if not what:
                self._point(message.data, flow)
            elif message.subject == subjects.flow_state(flow):  # other words below a flow's are nobody's
                self._hold(message, flow)
        elif kind == "trigger":
            self._decide(message.data, name)

    def _define(self, data: bytes, digest: str) -> None:
        try:
            definition = messages.decode(Definition, data)
        except UnreadableRecord as error:
            self._refuse(digest, BrokenDefinition(f"the definition {digest[:12]} cannot be read: {error}"))
            return
        if definition.digest != digest:
            self._refuse(digest, DigestMismatch(f"the definition under {digest[:12]} says that it is {definition.digest[:12]}"))
            return
        self._broken.pop(digest, None)
        self._definitions[digest] = self._versions.setdefault(definition.name, {})[digest] = definition

    def _point(self, data: bytes, name: str) -> None:
        try:
            current = messages.decode(Current, data) if data else None
        except UnreadableRecord as error:
            _log.warning("deployed version unreadable", flow=name, error=str(error))
            return
        if current is None:
            self._current.pop(name, None)
        else:
            self._current[name] = current
        for listener in self.on_change:
            listener(name)

    def _hold(self, message: Message, flow: str) -> None:
        """Somebody has paused, drained or resumed a flow."""
        try:
            self._states[flow] = messages.decode(FlowState, message.data), message.stream_seq
        except UnreadableRecord as error:
            _log.warning("state of a flow unreadable", flow=flow, error=str(error))
            return
        for listener in self.on_change:
            listener(flow)

    def _decide(self, data: bytes, name: str) -> None:
        """Somebody has paused, disabled or resumed a trigger."""
        flow, _, trigger = name.partition(".")
        if not subjects.is_word(trigger):
            return  # no trigger is called so, and no consumer could be
        decided = self._triggers.setdefault(flow, {})
        try:
            decided[trigger] = messages.decode(TriggerState, data)
        except UnreadableRecord as error:
            _log.warning("state of a trigger unreadable", trigger=name, error=str(error))
            # What was decided is not known, but that it was: since then the trigger's events have a consumer of their own.
            decided.setdefault(trigger, TriggerState(flow, trigger, RUNNING))
        for listener in self.on_change:
            listener(flow)

    def _compile(self, definition: Definition) -> Plan | None:
        try:
            plan = self._plans[definition.digest] = compile_definition(definition)
        except BrokenDefinition as error:
            self._refuse(definition.digest, error)
            return None
        return plan

    def _refuse(self, digest: str, error: BrokenDefinition) -> None:
        _log.warning("definition refused", digest=digest, code=error.code, error=str(error))
        self._broken[digest] = error
