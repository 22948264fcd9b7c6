"""The log of one of our processes: what structlog does with the lines of all its parts.

Lines go to standard error, because standard output belongs to results: one JSON object per line for machines, columns for people. Every
line of a process says which one it is (`configure(role=…)`, `name_process`); run, node, attempt, partition and seq are given by whoever
logs. Lines that libraries write to `logging` come out in the same form.

Guarantees: a line that cannot be encoded or written harms nobody. Does not redact: what may hold secrets is redacted before it gets here.

What is below the level costs 0.1 µs on a logger that was bound once (`self._log = log.bind(partition=3)`); on a logger of a module, which
is looked up anew each time so that a later configuration holds for it too, 1.5 µs: too much for what happens per record.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import msgspec
import structlog

Form: TypeAlias = Literal["auto", "json", "pretty"]
FORMS: tuple[Form, ...] = ("auto", "json", "pretty")
LEVELS: Mapping[str, int] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

_process: dict[str, str] = {}
"""What every line of this process says. Not in a context variable: callbacks of threads and connections must say it too."""


def configure_if_nobody_did(level: str = "info") -> None:
    """For programs that embed us and have no log configuration of their own: standard output is theirs alone."""
    if not structlog.is_configured():
        configure(level, form="pretty")


def configure(level: str = "info", form: Form = "auto", role: str = "") -> None:
    """Send the log of this process to standard error, from `level` upwards. `auto`: pretty on a terminal, else JSON.

    `role`: this process belongs to a fleet, and every line says as what; lines that libraries log with `logging` are taken over.
    """
    _process.clear()
    as_json = form == "json" or (form == "auto" and not _on_terminal())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_json() if as_json else _pretty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,  # a program may still configure its own log after us
    )
    _take_over_logging(bool(role))
    if role:
        name_process(role)


def name_process(role: str, id: str = "") -> None:
    """Have every line of this process say its role and, as soon as it has one, its id."""
    _process.update({"role": role, "id": id} if id else {"role": role})


def _add_process(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in _process.items():
        event.setdefault(name, value)
    return event


# --- the two forms


def _escape(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What comes from elsewhere must neither steer a terminal nor look like another line: a reason may quote anybody's bytes."""
    for name, value in event.items():
        if type(value) is str and not value.isprintable():
            event[name] = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)
    return event


def _json() -> list[Any]:
    # No tracebacks with the values of local variables (structlog's own form has them): there are secrets among those.
    return [_add_logger, _escape, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_encode)]


def _pretty() -> list[Any]:
    return [_escape, structlog.dev.ConsoleRenderer(colors=_on_terminal(), exception_formatter=structlog.dev.plain_traceback)]


def _add_logger(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Tell own nodes' lines from ours."""
    name = getattr(logger, "name", "")
    if name:
        event.setdefault("logger", name)
    return event


def _encode(event: Mapping[str, Any], **options: Any) -> str:
    """One line of JSON, whatever the fields hold."""
    with suppress(Exception):
        return msgspec.json.encode(event, enc_hook=repr).decode()
    return json.dumps({str(name): value if isinstance(value, str) else _text(value) for name, value in event.items()})


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


# --- where it goes


class _Stderr:
    """Whatever standard error is at the moment: a program around us may replace and close it.

    A line goes out in one write, so that lines of several processes on one terminal do not mix. When nobody reads it any more the
    line is lost: no run and no node may fail for that.
    """

    def __init__(self, name: str = "", *rest: object) -> None:
        self.name = name

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError, AttributeError):  # gone, closed, never there
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = warn = error = exception = critical = fatal = log = msg


def _on_terminal() -> bool:
    with suppress(ValueError, AttributeError):
        return sys.stderr.isatty()
    return False


class _Foreign(logging.Handler):
    """What libraries and asyncio tell `logging`, in the form of our own lines. One whose text cannot be made is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        if not structlog.is_configured():
            return  # what was configured here was reset; the default would write to standard output
        with suppress(Exception):
            structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def _take_over_logging(on: bool) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Foreign):
            root.removeHandler(handler)
    if on:
        root.addHandler(_Foreign(logging.WARNING))
