"""Difference: two runs side by side, and where they part.

Runs of different versions, or of different flows, can be compared too: activations are matched by their keys. Values are compared by path,
so that of two large documents only what differs is told. What lies elsewhere is compared by what its ref says of it, and not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload, decode
from ...schemas.records import Record
from ...schemas.ref import Ref
from ...schemas.selectors import path_text
from ..engine import NodeView
from .studied import Studied

VALUES_MAX = 100
"""Differences of one value that are told."""
FACTOR, NOTICED_MS = 2.0, 100
"""A duration counts as another one if it is so many times the other, and so much longer: no two runs take the same milliseconds."""
OF_ITS_OWN = frozenset(("run", "at", "worker", "took_us", "meta", "digest", "trace", "places"))
"""Fields of records that differ between any two runs."""
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Unlike:
    """`path` into the value, `$` for all of it. NOTHING where there is nothing on that side."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class NodeUnlike:
    """An activation that is not alike in both. The pairs are of A and of B; None where the two are alike."""

    node: str
    status: tuple[str, str] | None = None
    port: tuple[str | None, str | None] | None = None
    attempts: tuple[int, int] | None = None
    duration_ms: tuple[int | None, int | None] | None = None
    output: tuple[Unlike, ...] = ()

    @property
    def is_unlike(self) -> bool:
        return any((self.status, self.port, self.attempts, self.duration_ms, self.output))


@dataclass(frozen=True, slots=True)
class Difference:
    """`about`: flow, version, digest, trigger, status and error, as far as they differ. `first_record`: the number of the first that says
    something else; None: none does.
    """

    a: str
    b: str
    about: dict[str, tuple[Any, Any]]
    input: tuple[Unlike, ...]
    first_record: int | None
    nodes: tuple[NodeUnlike, ...]
    output: tuple[Unlike, ...]

    @property
    def alike(self) -> bool:
        return not self.about and not self.input and not self.nodes and not self.output


def difference(a: Studied, b: Studied) -> Difference:
    """What tells two runs apart."""
    pairs = {
        "flow": (a.plan.name, b.plan.name),
        "version": (a.plan.version, b.plan.version),
        "digest": (a.plan.digest, b.plan.digest),
        "trigger": (a.started.trigger, b.started.trigger),
        "status": (a.status, b.status),
        "error": (_error(a), _error(b)),
    }
    views = list(a.nodes) + [key for key in b.nodes if key not in a.nodes]
    nodes = [_node(key, a, b) for key in views]
    return Difference(
        a.id, b.id, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
        _payloads(a.started.payload, b.started.payload), first_unlike(a.journal, b.journal),
        tuple(node for node in nodes if node.is_unlike), _payloads(a.state.output, b.state.output),
    )  # fmt: skip


def unlike(a: Any, b: Any) -> Iterator[Unlike]:
    """Where two values differ, by path."""
    waiting: list[tuple[tuple[str | int, ...], Any, Any]] = [((), a, b)]
    while waiting:
        path, one, other = waiting.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            keys = [*one, *(key for key in other if key not in one)]
            waiting += [((*path, key), one.get(key, NOTHING), other.get(key, NOTHING)) for key in reversed(keys)]
        elif isinstance(one, list) and isinstance(other, list):
            sides = ((_at(one, place), _at(other, place)) for place in range(max(len(one), len(other))))
            waiting += reversed([((*path, place), *pair) for place, pair in enumerate(sides)])
        elif not _same(one, other):
            yield Unlike(path_text(path), one, other)


def first_unlike(a: Sequence[Record], b: Sequence[Record]) -> int | None:
    """The number of the first record that says something else in the other journal; where one ends earlier, the first that it lacks."""
    for number, (one, other) in enumerate(zip(a, b, strict=False)):
        if _said(one) != _said(other):
            return number
    return None if len(a) == len(b) else min(len(a), len(b))


def _node(key: str, a: Studied, b: Studied) -> NodeUnlike:
    one, other = a.nodes.get(key, _ABSENT), b.nodes.get(key, _ABSENT)
    took = a.took_ms(key), b.took_ms(key)
    return NodeUnlike(
        key,
        (one.status, other.status) if one.status != other.status else None,
        (one.port, other.port) if one.port != other.port else None,
        (one.attempts, other.attempts) if one.attempts != other.attempts else None,
        took if _noticeably(*took) else None,
        _payloads(one.output, other.output),
    )


_ABSENT = NodeView(NOTHING, None, 0, None)


def _noticeably(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return False  # its status tells already
    shorter, longer = sorted((one, other))
    return longer - shorter >= NOTICED_MS and longer >= FACTOR * shorter


def _payloads(one: Payload | None, other: Payload | None) -> tuple[Unlike, ...]:
    if one == other:
        return ()
    return tuple(islice(unlike(_value(one), _value(other)), VALUES_MAX))


def _value(payload: Payload | None) -> Any:
    if payload is None:
        return NOTHING
    try:
        return decode(payload)
    except UnreadablePayload as error:
        return f"<{error}>"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Ref) and isinstance(other, Ref):  # the same bytes may lie in another place
        return (one.codec, one.length, one.crc, one.path) == (other.codec, other.length, other.crc, other.path)
    return type(one) is type(other) and bool(one == other)


def _at(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else NOTHING


def _said(record: Record) -> tuple[Any, ...]:
    fields = (getattr(record, name) for name in record.__struct_fields__ if name not in OF_ITS_OWN)
    return (type(record).__name__, *map(_comparable, fields))


def _comparable(value: Any) -> Any:
    return msgspec.msgpack.encode(value) if isinstance(value, msgspec.Struct) else value


def _error(run: Studied) -> str | None:
    error = run.state.error
    return None if error is None else f"{error.type}: {error.message}"
