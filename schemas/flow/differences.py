"""What two definitions of a flow differ in: nodes, edges, triggers, scopes, settings and the rest that was added, removed or changed.

They are compared in their canonical form, so neither the order of keys, nor comments, nor defaults that one of them writes out count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_LISTS = {"nodes": "node", "triggers": "trigger", "scopes": "scope", "edges": "edge"}
"""The parts whose members have names, and what one is called."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """`what`: node, edge, trigger, scope, or the name of a block such as `settings`. `name`: which one, and the path to what changed in it.

    `before` and `after` are None where it is not there.
    """

    change: str
    what: str
    name: str
    before: Any = None
    after: Any = None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Of two definitions in canonical form, in the order of the format; nothing if they mean the same."""
    found: list[Difference] = []
    for part in dict.fromkeys((*before, *after)):
        if part in _LISTS:
            found += _members(_LISTS[part], _named(part, before.get(part)), _named(part, after.get(part)))
        else:
            one, other = before.get(part, _ABSENT), after.get(part, _ABSENT)
            found += _leaves(part, "", _as_block(one, other), _as_block(other, one))
    return found


def _members(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield Difference(REMOVED, what, name, before=before[name])
        elif name not in before:
            yield Difference(ADDED, what, name, after=after[name])
        else:
            yield from _leaves(what, name, before[name], after[name])


def _leaves(what: str, path: str, before: Any, after: Any) -> Iterator[Difference]:
    """What differs, as deep in it as both sides are mappings."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _leaves(what, f"{path}.{key}" if path else key, before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif before is _ABSENT:
        yield Difference(ADDED, what, path, after=after)
    elif after is _ABSENT:
        yield Difference(REMOVED, what, path, before=before)
    elif before != after or type(before) is not type(after):
        yield Difference(CHANGED, what, path, before, after)


def _as_block(value: Any, other: Any) -> Any:
    """A block that is not there is an empty one, so that its keys are told one by one."""
    return {} if value is _ABSENT and isinstance(other, Mapping) else value


def _named(part: str, members: Any) -> dict[str, Any]:
    """The members of a part by their names: edges by what they connect."""
    if not members:
        return {}
    if isinstance(members, Mapping):
        return dict(members)
    found: dict[str, Any] = {}
    for member in members:
        name = member["id"] if part != "edges" else f"{member['from']} -> {member['to']}"
        number = 2
        while name in found:  # several edges may connect the same nodes
            name, number = f"{name.partition(' #')[0]} #{number}", number + 1
        found[name] = member
    return found
