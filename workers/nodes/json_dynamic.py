"""std::json_dynamic: change a value whose shape is not known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ...broker.codecs.reach import reach
from ...schemas.errors import Permanent
from ...schemas.selectors import parse_path
from ...schemas.values import MISSING, delete_path, set_path
from .base import StandardNode

Change: TypeAlias = Callable[[Any], Any]


class JsonDynamicNode(StandardNode):
    """One operation on the input, after a look whether its required fields are there (else error `missing_field`)."""

    name = "std::json_dynamic"

    def prepare(self, config: Mapping[str, Any]) -> Change:
        change = _OPERATIONS[config["operation"]](config)
        required = [(field, parse_path(field)) for field in config["required_fields"]]
        if not required:
            return change

        def checked(value: Any) -> Any:
            absent = [field for field, path in required if reach(value, path) is MISSING]
            if absent:
                raise Permanent(f"required fields are missing: {', '.join(absent)}", type="missing_field", details={"fields": absent})
            return change(value)

        return checked


def _passthrough(config: Mapping[str, Any]) -> Change:
    return lambda value: value


def _extract(config: Mapping[str, Any]) -> Change:
    """The named fields side by side, each under the last word of its path; of two with the same last word the later one stays."""
    paths = [path for path in map(parse_path, config["fields"]) if path]
    return lambda value: {str(path[-1]): found for path in paths if (found := reach(value, path)) is not MISSING}


def _merge(config: Mapping[str, Any]) -> Change:
    """The maps of an array as one, later ones winning; what is no map is passed over. A map is itself."""
    path = parse_path(config.get("path") or "")

    def merge(value: Any) -> Any:
        found = reach(value, path)
        if isinstance(found, dict):
            return found
        if not isinstance(found, list):
            raise Permanent("merge needs an array of maps, or a map", type="invalid_input")
        return {key: item for part in found if isinstance(part, dict) for key, item in part.items()}

    return merge


def _set(config: Mapping[str, Any]) -> Change:
    path, new = parse_path(config["path"]), config.get("value")
    return lambda value: set_path(value, path, new)


def _delete(config: Mapping[str, Any]) -> Change:
    path = parse_path(config["path"])
    return lambda value: delete_path(value, path)


def _flatten(config: Mapping[str, Any]) -> Change:
    """A map without maps and lists in it: `{user: {city: x}}` becomes `{user_city: x}`; list items are numbered, empty ones dropped."""
    separator = config["separator"]
    return lambda value: dict(_leaves(value, "", separator)) if isinstance(value, (dict, list)) else value


def _leaves(value: Any, prefix: str, separator: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        name = f"{prefix}{separator}{key}" if prefix else str(key)
        if isinstance(item, (dict, list)):
            yield from _leaves(item, name, separator)
        else:
            yield name, item


_OPERATIONS: Mapping[str, Callable[[Mapping[str, Any]], Change]] = {
    "passthrough": _passthrough,
    "extract": _extract,
    "merge": _merge,
    "set": _set,
    "delete": _delete,
    "flatten": _flatten,
}
