"""The arenas of a fleet: near which hosts' arenas there are workers, and what they take, as they say it of themselves.

Facts come from other processes, perhaps of another version: what has another form than expected is left out, and a host's id is one only if
it can stand in a subject.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from ...schemas.messages import Member
from .membership import WORKER, Membership

Served: TypeAlias = Mapping[str, list[tuple[Collection[Any], Collection[Any]]]]
"""By host: the queues and the node types of each worker there."""
_HOST = re.compile(r"[A-Za-z0-9-]{1,128}")


def silent_hosts(members: Iterable[Member]) -> set[tuple[str, str]]:
    """Runs whose values workers ask for in vain, and the hosts that have them and do not answer."""
    told = [member.facts.get("silent_hosts") for member in members]
    return {
        (entry[0], entry[1])
        for entries in told
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], str)
    }


def room_wanted(members: Iterable[Member]) -> set[tuple[str, str]]:
    """Runs for whose values somebody waits for room, and the hosts in whose arenas."""
    told = [(member.facts.get("waits_for_room"), member.facts.get("arena")) for member in members]
    return {(run, host) for runs, host in told if isinstance(runs, list) and isinstance(host, str) for run in runs if isinstance(run, str)}


def arenas(membership: Membership) -> Served:
    """The arenas that live workers announce. This process itself is not among them."""
    found: dict[str, list[tuple[Collection[Any], Collection[Any]]]] = {}
    for member in membership.others(WORKER):
        host, queues, types = (member.facts.get(name) for name in ("arena", "queues", "types"))
        if isinstance(host, str) and _HOST.fullmatch(host) and isinstance(queues, list) and isinstance(types, list):
            found.setdefault(host, []).append((queues, frozenset(each for each in types if isinstance(each, str))))
    return found
