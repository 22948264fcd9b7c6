"""The log of one of our processes: what structlog does with the lines of all its parts.

Lines go to standard error, because standard output belongs to results.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog

LEVELS: Mapping[str, int] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


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
