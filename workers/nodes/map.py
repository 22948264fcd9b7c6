"""std::map: copy fields to new places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...broker.codecs.reach import reach
from ...schemas.ref import Ref, ValueElsewhere
from ...schemas.selectors import parse_path
from ...schemas.values import MISSING, Path, set_path
from .base import StandardNode


class MapNode(StandardNode):
    """Later mappings override earlier ones. A missing field is left out, or replaced by its default.

    With `passthrough` the rest of the input stays, moved fields under their old name too. An input that is no map, also null,
    has no fields: only defaults come out.
    """

    name = "std::map"
    moves = True

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        moves = [_move(mapping) for mapping in config["mappings"]]
        passthrough = config["passthrough"]

        def convert(value: Any) -> Any:
            output: Any = dict(value) if passthrough and isinstance(value, dict) else {}
            for source, target, default in moves:
                found = reach(value, source)
                if type(found) is Ref and found.path and default is not MISSING:
                    raise ValueElsewhere(found)  # only who reads it knows whether the default is wanted
                if found is MISSING:
                    found = default
                if found is not MISSING:
                    output = _put(output, target, found)
            return output

        return convert


def _move(mapping: Mapping[str, Any]) -> tuple[Path, Path, Any]:
    # The normal form writes an absent default as null, so a null default means: leave it out.
    default = mapping.get("default")
    return parse_path(mapping["from"]), parse_path(mapping["to"]), MISSING if default is None else default


def _put(output: Any, target: Path, found: Any) -> Any:
    if len(target) == 1 and type(output) is dict and type(target[0]) is str:
        output[target[0]] = found  # the map is ours: no need to copy it for each field
        return output
    return set_path(output, target, found)
