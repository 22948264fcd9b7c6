"""Triggers: every spelling of their params means one thing; schedules are checked by computing when they fire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jetfleet.schemas.flow.cron import next_fire
from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES, parse_params, trigger_type
from jetfleet.schemas.source.loader import Loaded

Parse = Callable[..., Loaded]


def params(type: str, raw: Any) -> dict[str, Any]:
    entry = trigger_type(type)
    assert entry is not None
    return parse_params(entry, raw).model_dump()


@pytest.mark.parametrize(
    ("type", "spelling", "meaning"),
    [
        ("webhook", {"method": "get"}, {"methods": ["GET"]}),
        ("trigger::webhook", {"methods": ["POST", "PUT"]}, {"methods": ["POST", "PUT"]}),
        ("webhook", None, {"host": "0.0.0.0", "port": 8080, "path": "/", "methods": ["POST"]}),
        ("cron", {"schedule": "0 * * * *", "catchUp": True}, {"schedule": "0 * * * *", "catch_up": True}),
        ("cron", {"schedule": "0 * * * *", "concurrencyPolicy": "Forbid"}, {"schedule": "0 * * * *", "timezone": "UTC"}),
        ("cron", {"schedule": "0 * * * *", "concurrencyPolicy": "Replace"}, {"schedule": ["0 * * * *"], "overlap": "cancel_running"}),
        ("cron", {"schedule": "0 * * * *", "concurrency_policy": "Allow"}, {"schedule": ["0 * * * *"], "overlap": "allow"}),
        ("cron", {"schedule": ["0 * * * *"], "catch_up": "all"}, {"schedule": "0 * * * *", "catchUp": True}),
        ("cron", {"schedule": "0 * * * *", "catch_up": False}, {"schedule": "0 * * * *", "catch_up": "skip", "overlap": "forbid"}),
        ("cron", {"schedule": "0 5 * * * 30", "seconds": "last"}, {"schedules": "0 5 * * * 30", "seconds": "last"}),
        ("filesystem", {"path": "/data"}, {"paths": ["/data"]}),
        ("filesystem", {"path": "/data", "events": ["created", "deleted"]}, {"paths": ["/data"], "events": ["create", "remove"]}),
        ("filesystem", {"paths": ["/a"], "patterns": "*.csv"}, {"paths": ["/a"], "patterns": ["*.csv"]}),
        ("queue", {"name": "orders", "buffer_size": 5}, {"name": "orders", "capacity": 5}),
        ("queue", None, {"capacity": 100}),
        ("kafka", {"brokers": "a:1, b:2", "group_id": "g", "topic": "t"}, {"brokers": ["a:1", "b:2"], "group_id": "g", "topics": ["t"]}),
        ("manual", None, {"buffer_size": 10}),
        ("memory", {"capacity": 3}, {"buffer_size": 3}),
    ],
)
def test_spellings_have_one_meaning(type: str, spelling: Any, meaning: Any) -> None:
    assert params(type, spelling) == params(type, meaning)


@pytest.mark.parametrize(
    ("trigger", "code", "word"),
    [
        ("{type: webhook, params: {port: 0}}", "INVALID_VALUE", "port"),
        ("{type: webhook, params: {port: 65536}}", "INVALID_VALUE", "port"),
        ("{type: webhook, params: {port: '80'}}", "INVALID_TYPE", "port"),
        ("{type: webhook, params: {path: orders}}", "INVALID_VALUE", "orders"),
        ("{type: webhook, params: {method: GIT}}", "INVALID_VALUE", "GIT"),
        ("{type: webhook, params: {auth: {type: bearer}}}", "MISSING_FIELD", "secret"),
        ("{type: cron}", "MISSING_FIELD", "schedule"),
        ("{type: cron, params: {schedule: invalid}}", "INVALID_CRON", "invalid"),
        ("{type: cron, params: {schedule: '0 0 30 2 *'}}", "INVALID_CRON", "never"),
        ("{type: cron, params: {schedule: 'H * * * *'}}", "INVALID_CRON", "hashed"),
        ("{type: cron, params: {schedule: '0 * * * *', timezone: Mars/Base}}", "INVALID_VALUE", "Mars/Base"),
        ("{type: cron, params: {schedule: '0 5 * * * 30 2030', seconds: first}}", "INVALID_CRON", "out of range"),
        ("{type: cron, params: {schedule: ['0 * * * *', '@sometimes']}}", "INVALID_CRON", "there is no `@sometimes`"),
        ("{type: cron, params: {schedule: '0 0 * jan TUESDAY'}}", "INVALID_CRON", "`TUESDAY` is out of range"),
        ("{type: cron, params: {schedule: '0 0 1-1-1 * *'}}", "INVALID_CRON", "1-1-1"),
        ("{type: cron, params: {schedule: []}}", "INVALID_VALUE", "schedule"),
        ("{type: cron, params: {schedule: '0 * * * *', overlap: maybe}}", "INVALID_VALUE", "maybe"),
        ("{type: cron, params: {schedule: '0 * * * *', start: tomorrow}}", "INVALID_VALUE", "tomorrow"),
        (
            "{type: cron, params: {schedule: '0 * * * *', start: '2026-02-01', end: '2026-01-01T00:00:00+01:00'}}",
            "INVALID_VALUE",
            "2026-02-01",
        ),
        ("{type: cron, params: {schedule: '0 * * * *', overlap: skip, concurrency_policy: Forbid}}", "INVALID_VALUE", "overlap"),
        ("{type: filesystem}", "MISSING_FIELD", "paths"),
        ("{type: filesystem, params: {path: /a, events: [touch]}}", "INVALID_VALUE", "touch"),
        ("{type: kafka, params: {group_id: g, topic: t}}", "MISSING_FIELD", "brokers"),
        ("{type: kafka, params: {brokers: 'a:1', group_id: g, topics: []}}", "INVALID_VALUE", "topics"),
        ("{type: manual, params: {size: 3}}", "UNKNOWN_KEY", "size"),
    ],
)
def test_params_that_cannot_work_are_refused(parse: Parse, trigger: str, code: str, word: str) -> None:
    errors = parse(f"name: f\ntriggers:\n  t: {trigger}\n").errors
    assert [problem.code for problem in errors] == [code]
    assert word in errors[0].message
    assert errors[0].line == 3


@pytest.mark.parametrize(
    ("schedule", "fires"),
    [
        ("*/5 * * * *", datetime(2026, 3, 4, 12, 5)),
        ("0 0 * * * *", datetime(2026, 3, 4, 13)),
        ("0 30 9 * * Mon-Fri", datetime(2026, 3, 5, 9, 30)),
        ("30 * * * * *", datetime(2026, 3, 4, 12, 0, 30)),
        ("0 0 0 1 1 ? 2030", datetime(2030, 1, 1)),
        ("@hourly", datetime(2026, 3, 4, 13)),
        ("0 0 L * *", datetime(2026, 3, 31)),
    ],
)
def test_schedules_have_five_fields_or_six_with_the_seconds_first(schedule: str, fires: datetime) -> None:
    assert next_fire(schedule, datetime(2026, 3, 4, 12, tzinfo=UTC)) == fires.replace(tzinfo=UTC)


def test_a_schedule_follows_the_clock_of_its_time_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert next_fire("0 9 * * *", datetime(2026, 7, 1, 12, tzinfo=berlin)).astimezone(UTC) == datetime(2026, 7, 2, 7, tzinfo=UTC)


def test_every_type_is_also_known_with_its_prefix() -> None:
    assert all(trigger_type(f"trigger::{name}") is entry for name, entry in TRIGGER_TYPES.items())
    assert trigger_type("smoke_signal") is None
