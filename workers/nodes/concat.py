"""std::concat: join texts and fields into one text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...broker.codecs.reach import reach
from ...schemas.selectors import parse_path
from ...schemas.values import Path, set_path, to_text
from .base import StandardNode


class ConcatNode(StandardNode):
    """Gives `{output_field: text}` and nothing else. Fields that are missing or null are left out, with their separator."""

    name = "std::concat"

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        parts = [_part(part) for part in config["parts"]]
        separator, target = to_text(config["separator"]) or "", parse_path(config["output_field"])

        def join(value: Any) -> Any:
            texts = (to_text(reach(value, part)) if isinstance(part, tuple) else part for part in parts)
            return set_path({}, target, separator.join(text for text in texts if text is not None))

        return join


def _part(part: Mapping[str, Any]) -> str | Path | None:
    """A literal as its text, a field as its path. A literal that a selector made null counts as a null field."""
    return parse_path(part["path"]) if part["type"] == "field" else to_text(part["value"])
