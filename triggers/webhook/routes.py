"""Routes: which endpoint a request is for.

A path is taken apart first and decoded then, so an encoded slash stays inside its part. A fixed part counts before a parameter, a
parameter before one that takes all that follows. Parts `.` and `..` are refused however they are written: values from paths end up in names
of files sooner or later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.route import Route, parse_route
from .replies import Refusal

Endpoint: TypeAlias = Any
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PathTaken(SourceBroken):
    """Another trigger answers this path and method already, with other params."""

    code = "PATH_TAKEN"


class Routes:
    """Endpoints by path and method."""

    def __init__(self) -> None:
        self._methods: dict[Route, dict[str, tuple[Route, Endpoint]]] = {}  # by path without the names of its parameters
        self._shapes: list[tuple[Route, dict[str, tuple[Route, Endpoint]]]] | None = None  # the same, the most particular first
        self._fixed: dict[bytes, dict[str, Endpoint]] = {}

    def __bool__(self) -> bool:
        return bool(self._methods)

    def add(self, path: str, methods: Iterable[str], endpoint: Endpoint, name: str) -> None:
        """Raises PathTaken, and adds nothing then."""
        route = parse_route(path)
        taken = self._methods.get(_shape(route), {})
        for method in methods:
            if method in taken:
                owner = taken[method][1].name  # the first by flow and id, also while it is disabled
                raise PathTaken(f"{method} {path} belongs to trigger {owner}, whose params are others: "
                                f"give {name} another path, method or port, or both the same params")  # fmt: skip
        taken.update((method, (route, endpoint)) for method in methods)
        self._methods[_shape(route)] = taken
        self._shapes = None

    def holders(self, path: str, methods: Iterable[str]) -> list[Endpoint]:
        """Those that answer this path, whatever its parameters are called, with one of these methods."""
        found = self._methods.get(_shape(parse_route(path)), {})
        return list({id(found[method][1]): found[method][1] for method in methods if method in found}.values())

    def remove(self, endpoint: Endpoint) -> None:
        for shape, methods in list(self._methods.items()):
            for method in [each for each, (_, found) in methods.items() if found is endpoint]:
                del methods[method]
            if not methods:
                del self._methods[shape]
        self._shapes = None

    def find(self, path: bytes, method: str) -> tuple[Endpoint | None, Mapping[str, str], list[str]]:
        """The endpoint, the path's parameters, and the methods that are possible there: none for a path that nobody has.

        Raises Refusal for a path that nobody could have.
        """
        shapes = self._shapes if self._shapes is not None else self._index()
        fixed = self._fixed.get(path)
        if fixed is not None and method in fixed:
            return fixed[method], {}, []
        parts = _decoded(path)
        allowed: list[str] = []
        for shape, methods in shapes:
            values = _match(shape, parts)
            if values is None:
                continue
            if method in methods:
                route, endpoint = methods[method]
                return endpoint, dict(zip(route.names, values, strict=True)), []
            allowed += methods
        return None, {}, sorted(set(allowed))

    def _index(self) -> list[tuple[Route, dict[str, tuple[Route, Endpoint]]]]:
        """In their order; and those without parameters, as they come most of the time, so that they are found at once."""
        self._shapes = sorted(self._methods.items(), key=_rank)
        self._fixed = {
            "/".join(("", *(part or "" for part in shape.parts))).encode(): {method: found for method, (_, found) in methods.items()}
            for shape, methods in self._shapes
            if None not in shape.parts
        }
        return self._shapes


def _shape(route: Route) -> Route:
    return Route(route.parts, (), route.rest)


def _rank(entry: tuple[Route, Any]) -> list[tuple[int, str]]:
    shape = entry[0]
    last = len(shape.parts) - 1
    return [(0, part) if part is not None else (2 if shape.rest and place == last else 1, "") for place, part in enumerate(shape.parts)]


def _match(shape: Route, parts: list[str]) -> list[str] | None:
    """The values of the parameters, None if the path is another one. A parameter is never empty."""
    count = len(shape.parts)
    if len(parts) != count and not (shape.rest and len(parts) > count):
        return None
    values: list[str] = []
    for place, fixed in enumerate(shape.parts):
        part = "/".join(parts[place:]) if shape.rest and place == count - 1 else parts[place]
        if fixed is None and part:
            values.append(part)
        elif fixed != part:
            return None
    return values


def _decoded(path: bytes) -> list[str]:
    """The parts of a path. Raises Refusal if it is no UTF-8, has control characters in it, or a part that leads elsewhere."""
    try:
        parts = [unquote_to_bytes(part).decode() for part in path.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise Refusal(400, "BAD_PATH", "the path is not UTF-8") from None
    for part in parts:
        if _CONTROL.search(part) or not {".", ".."}.isdisjoint(re.split(r"[/\\]", part)):
            raise Refusal(400, "BAD_PATH", "the path has a part in it that is not possible")
    return parts
