"""std::log: write a log line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...schemas.values import to_text
from ..context import Context
from ..outcome import UNCHANGED
from .base import StandardNode


class LogNode(StandardNode):
    """Writes `message`, or the input where there is none. The input goes on unchanged, byte for byte."""

    name = "std::log"
    wants_context = True

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any, Context], Any]:
        message, level = config["message"], config["level"]

        def log(value: Any, context: Context) -> Any:
            context.log.log(level, to_text(value if message is None else message) or "null")
            return UNCHANGED

        return log
