"""Snapshots: a run's whole state as bytes, and back.

`restore(plan, snapshot(run))` behaves exactly like `run` for every record that follows, and `digest` is equal for equal
states on any machine. What can be derived (the index of waits, the cursors of splits) is not stored. What was added later stands at
the end, and only where there is something of it: older snapshots stay readable, and runs without it keep their bytes and their digest.

The form is a msgpack array that begins with VERSION; a reader refuses other versions (the journal can always be folded anew).
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import msgspec

from ...schemas.errors import UnreadableRecord
from ...schemas.plan.plan import Plan
from ...schemas.records import Error
from . import claims
from .losses import Again, Losses, Lost
from .state import GuardState, LoopBody, More, Rare, Reopened, Run, Scope, SplitBody, Undo, Wait

VERSION = 1
WITH_FLOW = 2
"""In the place of True for a run that is paused because its flow is."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()
_HEADER = 3
"""Bytes of the header of a list of more than 15."""


def snapshot(run: Run) -> bytes:
    """The run's state as bytes."""
    head = [VERSION, run.id, run.plan.digest, run.status, run.started_at, run.updated_at, run.trigger, run.meta, run.parent]
    tail = [run.records, run.ignored, _paused(run), run.keep, run.error, run.output, _rare(run.rare_), _scope(run.root)]
    return _encoder.encode(head + tail)


def digest(run: Run) -> str:
    """Hex SHA-256 of the state, the count of records taken in and ignored left out."""
    head = [run.id, run.plan.digest, run.status, run.started_at, run.trigger, run.meta, run.parent, _paused(run)]
    return hashlib.sha256(_encoder.encode([*head, run.error, run.output, _rare(run.rare_), _scope(run.root)])).hexdigest()


def is_of(id: str, digest: str, data: bytes) -> bool:
    """Whether these bytes begin as a snapshot of that run and plan does, in this version: a look that costs a twentieth of `restore`."""
    return data.startswith(_said(id, digest), _HEADER)


def trimmed(id: str, digest: str, data: bytes) -> bytes:
    """A snapshot without what its id and the digest of its plan say already: half of that of a small run. `data` is one (`is_of`)."""
    return data[:_HEADER] + data[_HEADER + len(_said(id, digest)) :]


def untrimmed(id: str, digest: str, data: bytes) -> bytes:
    """The whole snapshot again."""
    return b"".join((data[:_HEADER], _said(id, digest), data[_HEADER:]))


def _said(id: str, digest: str) -> bytes:
    """What every snapshot of that run begins with, behind the header of the list."""
    return _encoder.encode([VERSION, id, digest])[1:]


def restore(plan: Plan, data: bytes) -> Run:
    """The run of a snapshot. Raises UnreadableRecord for other bytes, another version or another plan."""
    try:
        fields = _decoder.decode(data)
        if not isinstance(fields, list) or fields[0] != VERSION:
            raise UnreadableRecord("not a snapshot of this version")
        if fields[2] != plan.digest:
            raise UnreadableRecord(f"the snapshot is of plan {fields[2][:12]}, not of {plan.digest[:12]}")
        return _run(plan, fields)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UnreadableRecord(f"{len(data)} bytes are no snapshot: {error}") from None


def _run(plan: Plan, fields: list[Any]) -> Run:
    _, id, _, status, started_at, updated_at, trigger, meta, parent, records, ignored, paused, keep, error, output, rare, root = fields
    run = Run(id, plan, started_at, trigger, b"", meta)
    run.status, run.updated_at = status, updated_at
    run.parent = None if parent is None else (parent[0], tuple(parent[1]))
    run.records, run.ignored, run.paused, run.keep = records, ignored, bool(paused), keep
    run.error, run.output = _error(error), output
    run.rare_ = _restore_rare(rare)
    if paused == WITH_FLOW:
        run.rare().with_flow = True
    run.root = _restore_scope(plan, None, root)
    for scope in run.scopes():
        for slot, wait in sorted(((scope.more.waits if scope.more is not None else None) or {}).items()):
            if wait.kind not in ("timer", "child"):
                address = (scope.plan.nodes[slot], *scope.path())
                run.rare().awaiting.setdefault((wait.kind, wait.name), []).append((wait.since, address))  # type: ignore[arg-type]
    if run.rare_ is not None:
        for waiting in run.rare_.awaiting.values():
            waiting[:] = [address for _, address in sorted(waiting)]  # type: ignore[misc]
    return run


def _paused(run: Run) -> int:
    return WITH_FLOW if run.paused_with_flow else run.paused


# --- scopes


def _scope(scope: Scope) -> list[Any]:
    return [scope.plan.index, scope.index, scope.input, scope.base, list(scope.cells), scope.outputs, scope.open, _more(scope.more)]


def _restore_scope(plan: Plan, parent: Scope | None, fields: list[Any]) -> Scope:
    index, number, input, base, cells, outputs, open, more = fields
    scope = Scope(plan.scopes[index], parent, number, input, base)
    scope.cells = bytearray(iter(cells)) if isinstance(scope.cells, bytearray) else array("I", cells)  # of a number it would be zeros
    scope.outputs, scope.open = outputs, open
    scope.more = None if more is None else _restore_more(plan, scope, more)
    return scope


def _more(more: More | None) -> list[Any] | None:
    if more is None:
        return None
    return [
        _pairs(more.attempts),
        _pairs(more.bases),
        _pairs(more.timers),
        None
        if more.waits is None
        else [[slot, wait.kind, wait.name, wait.correlate, wait.since] for slot, wait in sorted(more.waits.items())],
        None if more.bodies is None else [[slot, _body(body)] for slot, body in sorted(more.bodies.items())],
        None if more.guards is None else [[key, g.open, g.base, g.phase, g.attempt, g.error] for key, g in sorted(more.guards.items())],
        _pairs(more.arrivals),
        _pairs(more.leaving),
        _pairs(more.errors),
        _pairs(more.guard_bases),
    ]


def _restore_more(plan: Plan, scope: Scope, fields: list[Any]) -> More:
    attempts, bases, timers, waits, bodies, states, arrivals, leaving, errors, guard_bases = fields
    more = More()
    more.attempts, more.bases = _dict(attempts), _dict(bases)
    more.timers = None if timers is None else {(key[0], key[1]): due for key, due in timers}
    more.arrivals, more.leaving, more.guard_bases = _dict(arrivals), _dict(leaving), _dict(guard_bases)
    more.errors = None if errors is None else {key: _some_error(error) for key, error in errors}
    if waits is not None:
        more.waits = {slot: Wait(kind, name, tuple((p, v) for p, v in correlate), since) for slot, kind, name, correlate, since in waits}
    if bodies is not None:
        more.bodies = {slot: _restore_body(plan, scope, body) for slot, body in bodies}
    if states is not None:
        more.guards = {}
        for key, open, base, phase, attempt, error in states:
            state = more.guards[key] = GuardState(open, base)
            state.phase, state.attempt, state.error = phase, attempt, _error(error)
    return more


# --- bodies


def _body(body: LoopBody | SplitBody) -> list[Any]:
    if isinstance(body, LoopBody):
        return ["loop", body.base, body.used, body.value, None if body.scope is None else _scope(body.scope), _scopes(body.kept)]
    return [
        "split", body.base, body.used, body.data, body.total, body.offset, body.position, body.consumed, body.flushed,
        bytes(body.results), body.count,
        [[key, value, _pairs(leaving)] for key, (value, leaving) in sorted(body.early.items())],
        [[key, count, bytes(joined)] for key, (count, joined) in sorted(body.leaving.items())],
        _scopes(body.active), _scopes(body.kept),
    ]  # fmt: skip


def _restore_body(plan: Plan, parent: Scope, fields: list[Any]) -> LoopBody | SplitBody:
    if fields[0] == "loop":
        _, base, used, value, scope, kept = fields
        loop = LoopBody(base)
        loop.used, loop.value = used, value
        loop.scope = None if scope is None else _restore_scope(plan, parent, scope)
        loop.kept = _restore_scopes(plan, parent, kept)
        return loop
    _, base, used, data, total, offset, position, consumed, flushed, results, count, early, leaving, active, kept = fields
    split = SplitBody(data, total, offset, base)
    split.used = used
    split.position, split.consumed, split.flushed = position, consumed, flushed
    split.results, split.count = bytearray(memoryview(results)), count
    split.early = {key: (value, _dict(left)) for key, value, left in early}
    split.leaving = {key: (number, bytearray(memoryview(joined))) for key, number, joined in leaving}
    split.active, split.kept = _restore_scopes(plan, parent, active), _restore_scopes(plan, parent, kept)
    return split


def _scopes(scopes: dict[int, Scope]) -> list[Any]:
    return [_scope(scope) for _, scope in sorted(scopes.items())]


def _restore_scopes(plan: Plan, parent: Scope, fields: list[Any]) -> dict[int, Scope]:
    scopes = [_restore_scope(plan, parent, each) for each in fields]
    return {scope.index: scope for scope in scopes}


# --- the run's rare half


def _rare(rare: Rare | None) -> list[Any] | None:
    if rare is None:
        return None
    undos = [[undo.guard, undo.path, undo.todo, sorted(undo.running), undo.errors] for undo in rare.undos]
    kept = [[[name, waiting] for name, waiting in sorted(early.items()) if waiting] for early in (rare.signals, rare.events)]
    fields = [*kept, list(rare.seen), list(rare.done.items()), undos, rare.undo_errors, rare.held_timers, rare.ended, rare.waits_begun]
    newer = [None if rare.losses is None else _losses(rare.losses), None if rare.reopened is None else _reopened(rare.reopened)]
    newer.append(None if rare.claims is None else claims.as_data(rare.claims))
    while newer and newer[-1] is None:
        newer.pop()
    return [*fields, *newer]


def _reopened(reopened: Reopened) -> list[Any]:
    return [reopened.at, reopened.life, reopened.source, sorted(reopened.bases.items())]


def _losses(losses: Losses) -> list[Any]:
    return [
        [[address, again.attempt, again.out] for address, again in losses.again.items()],
        [[address, lost.needs, lost.rounds] for address, lost in losses.lost.items()],
        list(losses.moved.items()),
        list(losses.relocated.items()),
    ]


def _restore_losses(fields: list[Any]) -> Losses:
    again, lost, moved, relocated = fields
    losses = Losses()
    losses.again = {tuple(address): Again(attempt, out) for address, attempt, out in again}
    losses.lost = {tuple(address): Lost([tuple(need) for need in needs], rounds) for address, needs, rounds in lost}
    losses.moved = {tuple(address): attempt for address, attempt in moved}
    losses.relocated = {tuple(place): payload for place, payload in relocated}
    return losses


def _restore_reopened(fields: list[Any]) -> Reopened:
    at, life, source, bases = fields
    return Reopened(at, life, source, {tuple(address): base for address, base in bases})


def _restore_rare(fields: list[Any] | None) -> Rare | None:
    if fields is None:
        return None
    signals, events, seen, done, undos, undo_errors, held, ended, waits_begun, *newer = fields
    rare = Rare()
    rare.signals, rare.events = dict(signals), dict(events)
    rare.seen = dict.fromkeys(seen)
    rare.done = {tuple(address): output for address, output in done}
    rare.undo_errors = [_some_error(error) for error in undo_errors]
    rare.held_timers = [(tuple(path), purpose, attempt) for path, purpose, attempt in held]
    rare.ended, rare.waits_begun = ended, waits_begun
    losses, reopened, slots, *_ = [*newer, None, None, None]
    rare.losses = None if losses is None else _restore_losses(losses)
    rare.reopened = None if reopened is None else _restore_reopened(reopened)
    rare.claims = None if slots is None else claims.of_data(slots)
    for guard, path, todo, running, errors in undos:
        undo = Undo(guard, tuple(path), [(tuple(address), output) for address, output in todo])
        undo.running = {tuple(address) for address in running}
        undo.errors = [_some_error(error) for error in errors]
        rare.undos.append(undo)
    return rare


def _pairs(mapping: dict[Any, Any] | None) -> list[Any] | None:
    return None if mapping is None else sorted(([key, value] for key, value in mapping.items()), key=lambda pair: pair[0])


def _dict(pairs: list[Any] | None) -> dict[Any, Any] | None:
    return None if pairs is None else {key: value for key, value in pairs}  # noqa: C416


def _error(fields: list[Any] | None) -> Error | None:
    return None if fields is None else Error(*fields)


def _some_error(fields: list[Any]) -> Error:
    return Error(*fields)
