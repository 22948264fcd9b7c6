"""The catalogue of sources: how to make one of each trigger type.

The adapters to the world outside are in a package that this one knows nothing of, so they offer themselves by the entry point group
`jetfleet.triggers`: each names, for a trigger type, a function from a Spec and a Site to a Source. What it imports is loaded when the first
trigger of the type is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import TypeAlias

from ...schemas.errors import UsageError
from ...schemas.flow.trigger_types import TRIGGER_TYPES, suggest
from .source import Site, Source, SourceBroken, Spec

GROUP = "jetfleet.triggers"
Factory: TypeAlias = Callable[[Spec, Site], Source]

COORDINATORS = ("cron", "queue")
"""Types that every coordinator serves: their sources are on the server already, so no other process has to be alive."""
OUTSIDE = ("webhook", "filesystem", "kafka", "manual", "memory")
"""Types that need a process with a port, a folder or a broker of its own: `jetfleet trigger serve`."""
ON_CALL = ("manual", "memory")
"""Of these, the types that nobody has to serve: who calls them brings the process."""


def make(spec: Spec, site: Site) -> Source:
    """A new source. Raises SourceBroken if its type has no adapter here, or the adapter's library is missing."""
    return _factory(spec.type)(spec, site)


@cache
def _factory(type: str) -> Factory:
    """Looking for it takes milliseconds, and there may be thousands of triggers. What raises is not remembered."""
    found = next(iter(entry_points(group=GROUP, name=type)), None)
    if found is None:
        raise SourceBroken(f"no adapter for triggers of type {type!r} is installed here")
    factory: Factory = found.load()
    return factory


def known(types: Iterable[str]) -> tuple[str, ...]:
    """These types. Raises UsageError if one of them is none, with the nearest."""
    found = tuple(types)
    for name in found:
        if name not in TRIGGER_TYPES:
            near = suggest(name)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(TRIGGER_TYPES)}"
            raise UsageError(f"there is no trigger type {name!r}: {hint}")
    return found
