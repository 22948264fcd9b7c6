"""The log of node code: structured lines that know their run, node and attempt, without secrets.

`NodeLog` hands on to structlog, which the process configures: our own commands by `configure`, and so a program that has no configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from ..broker.observe import logs
from ..broker.observe.logs import LEVELS, configure_if_nobody_did
from .secrets import Secrets

__all__ = ["LEVELS", "NodeLog", "configure", "configure_if_nobody_did"]


class NodeLog:
    """A logger bound to one attempt. Every text passes through the redaction of secrets first."""

    __slots__ = ("_logger", "_secrets")

    def __init__(self, secrets: Secrets, fields: Mapping[str, Any]) -> None:
        self._secrets = secrets
        self._logger = structlog.get_logger("jetfleet.node").bind(**fields)

    def log(self, level: str, event: str, **fields: Any) -> None:
        """`level` is trace, debug, info, warn or error."""
        self._logger.log(LEVELS[level], self._secrets.redact(event), **self._secrets.redact(fields))

    def debug(self, event: str, **fields: Any) -> None:
        self.log("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self.log("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.log("warn", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self.log("error", event, **fields)


def configure(level: str = "info", as_json: bool = False) -> None:
    """Send the log of this process to standard error, from `level` upwards, for people or as one JSON object per line."""
    logs.configure(level, "json" if as_json else "pretty")
