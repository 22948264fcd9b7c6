"""Targets: questions to the read model, on its own tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from jetfleet.broker.read_model import queries
from jetfleet.broker.read_model.database import _SCHEMA
from jetfleet.broker.read_model.errors import ReadModelError
from jetfleet.broker.read_model.views import DeadAsked, RunsAsked, decode

from .target import Target
from .wire import NOW_MS


@cache
def _tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    for number in range(20):
        connection.execute(
            "INSERT INTO runs(id, flow, version, digest, status, partition, started_at) VALUES (?, 'orders', '1', 'd', 'running', 0, ?)",
            (f"orders-{number}", NOW_MS + number),
        )
    return connection


def _asked(kind: Any, ask: Callable[[sqlite3.Connection, Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: ask(_tables(), decode(kind, data))


_QUESTIONS = (
    RunsAsked("flow = orders and started > -1h", "orders", "running", "-started", 5, f"-started {NOW_MS + 5} orders-5", NOW_MS, False),
    RunsAsked("id ~ orders or duration > 5s or records >= 3", None, None, "ended", 50, "", NOW_MS, True),
)
_ANSWERED = (ReadModelError, msgspec.MsgspecError, sqlite3.Error)
"""What whoever answers makes an answer of."""

TARGETS = (
    Target(
        "query of runs",
        _asked(RunsAsked, lambda tables, asked: queries.runs(tables, asked, asked.now_ms)),
        lambda: list(map(msgspec.msgpack.encode, _QUESTIONS)),
        _ANSWERED,
    ),
    Target("query of a run", _asked(str, queries.run), lambda: [msgspec.msgpack.encode("orders-5")], _ANSWERED),
    Target(
        "query of dead letters", _asked(DeadAsked, queries.dead), lambda: [msgspec.msgpack.encode(DeadAsked("event", 10, 5))], _ANSWERED
    ),
)
