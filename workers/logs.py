"""The log of node code: structured lines that know their run, node and attempt, without secrets.

`NodeLog` hands on to structlog, which the process configures. `configure` is the configuration of our own commands, and of programs that
have none: lines go to standard error, because standard output belongs to results.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog

from .secrets import Secrets

LEVELS: Mapping[str, int] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


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


class _StandardError:
    """Whatever standard error is at the moment: a program around us may replace and close it, and no node must fail for that."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_if_nobody_did() -> None:
    """For programs that embed us and have no log configuration of their own: standard output is theirs alone."""
    if not structlog.is_configured():
        configure()


def configure(level: str = "info", as_json: bool = False) -> None:
    """Send the log of this process to standard error, from `level` upwards, for people or as one JSON object per line."""
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=False,  # a program may still configure its own log after us
    )
