"""Forking: a copy of a run's journal under a new id, with some of it forgotten, and some of it changed.

    the run's journal ──id replaced──▶ `set` applied ──▶ fitted to the version ──▶ what to_fork drops ──▶ a run of its own

Guarantees: the run itself is only read. The same run, node and key give the same fork. A value is set where there is one already, and an
event has to be one that the flow takes; the whole journal is folded before anything is written.
Does not: start sub-flows again that had ended, or copy payloads that lie elsewhere.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from ...schemas.errors import UsageError
from ...schemas.payload import decode, encode
from ...schemas.plan.events import check_event
from ...schemas.plan.plan import Plan
from ...schemas.records import Activation, ChildEnded, Completion, Record, RunReopened, RunStarted
from ...schemas.ref import Coded, Ref
from ...schemas.selectors import parse_path
from ...schemas.values import Path
from ..engine import nodes, to_fork
from .errors import UnknownFlow
from .fitting import fitted
from .inspection import Inspection
from .outgoing import checkable
from .reopening import Reopening, folded, journal_of, report
from .reopening_errors import NoSuchValue

SAME, CURRENT = "same", "current"
_SUFFIX = re.compile(r"~[0-9a-f]{8}$")
_PLACE = re.compile(r"([^.\[]+)((?:\[\d+\])*)(.*)", re.S)
PATHS_MAX = 1_000


def fork_id(run: str, node: str, key: str) -> str:
    """The id of the fork of a run at a node under a key: the run's own, `~`, and eight hex digits. A fork's own suffix is replaced."""
    return f"{_SUFFIX.sub('', run)}~{sha256(f'{run} {node} {key}'.encode()).hexdigest()[:8]}"


async def to_be_forked(client: Inspection, run: str, node: str, values: Mapping[str, Any], key: str, version: str) -> Reopening:
    """How a copy of the run goes on from a node; see `Client.fork`. Raises NeverRan, NoSuchValue, VersionUnfit, as `journal_of` does."""
    if version not in (SAME, CURRENT):
        raise UsageError(f"a fork goes on in version `{SAME}` or `{CURRENT}`, not {version!r}")
    journal, plan = await journal_of(client, run)
    original = journal.decoded()
    dropped = to_fork(plan, original, node)
    id = fork_id(run, node, key or uuid.uuid4().hex)
    records = [renamed(record, run, id) for record in original]
    going_on = RunReopened(id, original[-1].at, len(records), dropped, source=run)
    kept = _kept(plan, records, going_on) if values else []
    for place, value in values.items():
        _set(plan, records, kept, place, value)
    if version == CURRENT:
        current = client.flows.current(plan.name)
        if current is None:
            raise UnknownFlow(plan.name, client.flows.names())
        records, plan = fitted(plan, current, records), current
    state = folded(plan, records, going_on)
    return Reopening(id, plan.name, len(records), dropped, run, report(state, dropped), copy=records)


def renamed(record: Record, run: str, id: str) -> Record:
    """The record as one of the run `id`: also the ids of its sub-flows' runs, which are made of it. A fork has no parent."""
    if isinstance(record, RunStarted):
        return replace(record, run=id, parent=None)
    if isinstance(record, ChildEnded):
        return replace(record, run=id, child=id + record.child.removeprefix(run) if record.child.startswith(f"{run}.") else record.child)
    return replace(record, run=id)


# --- set


def _kept(plan: Plan, records: Sequence[Record], going_on: RunReopened) -> list[str]:
    """The activations that stay completed, whose outputs are therefore still used."""
    return [name for name, view in nodes(folded(plan, records, going_on)).items() if view.status == "completed"]


def _set(plan: Plan, records: list[Record], kept: Sequence[str], place: str, value: Any) -> None:
    """Change the event (`trigger.amount`), or what a node put out (`charge.total`, `charge[2].total`)."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise NoSuchValue(place, "it names no node", ["trigger", *plan.by_id])
    name, steps, rest = found.groups()
    if name == "trigger":
        first = records[0]
        assert isinstance(first, RunStarted)
        event = _changed(place, decode(first.payload), parse_path(f"${steps}{rest}"), value, name)
        if plan.inputs is not None:
            check_event(plan, checkable(event))
        records[0] = replace(first, payload=encode(event))
        return
    address, path = _address(plan, place, name, steps, rest)
    activation = name + "".join(f"[{step}]" for step in address[1:])
    number = _last_output(records, address) if activation in kept else None
    if number is None:
        decided = "the engine decides what it puts out, from what came to it"
        why = decided if activation in kept else "its output is not kept: it did not complete, or is executed again"
        raise NoSuchValue(place, why, _settable(plan, records, kept))
    record = records[number]
    assert isinstance(record, (Completion, ChildEnded))
    records[number] = replace(record, output=encode(_changed(place, decode(record.output), path, value, place[: len(place) - len(rest)])))


def _settable(plan: Plan, records: Sequence[Record], kept: Sequence[str]) -> list[str]:
    """The trigger, and those that stay completed with an output of their own."""
    put_out = [record.activation for record in records if isinstance(record, (Completion, ChildEnded)) and record.error is None]
    names = {plan.nodes[int(index)].id + "".join(f"[{step}]" for step in path) for index, *path in put_out}
    return ["trigger", *(name for name in kept if name in names)]


def _address(plan: Plan, place: str, name: str, steps: str, rest: str) -> tuple[Activation, Path]:
    """The activation that is meant, and the path in its output: of the indices, one for each loop and split around it is its own."""
    index = plan.by_id.get(name)
    if index is None:
        raise NoSuchValue(place, f"there is no node {name!r}", ["trigger", *plan.by_id])
    numbers = [int(step) for step in re.findall(r"\d+", steps)]
    depth = plan.scopes[plan.nodes[index].scope].depth
    if len(numbers) < depth:
        raise NoSuchValue(place, f"{name!r} is executed more than once: say which time, as {name}{'[0]' * depth}", [])
    inner = "".join(f"[{number}]" for number in numbers[depth:])
    return (index, *numbers[:depth]), parse_path(f"${inner}{rest}")


def _last_output(records: Sequence[Record], address: Activation) -> int | None:
    """The number of the record by which the activation completed; None of one that the engine decided."""
    for number in range(len(records) - 1, -1, -1):
        record = records[number]
        if isinstance(record, (Completion, ChildEnded)) and record.activation == address and record.error is None:
            return number
    return None


def _changed(place: str, whole: Any, path: Path, value: Any, root: str) -> Any:
    """The whole with another value at the path, where there has to be one."""
    if not path:
        return value
    at = whole
    for step in path[:-1]:
        at = at[step] if _has(at, step) else None
    if not _has(at, path[-1]):
        why = "it lies elsewhere" if isinstance(at, (Ref, Coded)) else "nothing is there"
        raise NoSuchValue(place, why, [f"{root}{inner}" for inner in _paths(whole)][:PATHS_MAX])
    at[path[-1]] = value
    return whole


def _has(at: Any, step: str | int) -> bool:
    return (isinstance(at, dict) and step in at) or (isinstance(at, list) and isinstance(step, int) and step < len(at))


def _paths(value: Any) -> list[str]:
    """The paths in a value, as they are written behind its name."""
    if isinstance(value, dict):
        return [f".{key}{inner}" for key, each in value.items() for inner in ("", *_paths(each))]
    if isinstance(value, list):
        return [f"[{index}]{inner}" for index, each in enumerate(value[:PATHS_MAX]) for inner in ("", *_paths(each))]
    return []
