"""Targets: texts that people write: flows, selectors, conditions, filters, schedules, arguments of commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from jetfleet.broker.cli.event_input import parse_json
from jetfleet.broker.cli.payload_place import parse_place
from jetfleet.broker.cli.printing import as_json, as_text, moment, printable
from jetfleet.broker.cli.runs_steering import _change
from jetfleet.broker.definitions import BrokenDefinition, compile_definition, define
from jetfleet.broker.observe.traceparent import parse as parse_traceparent
from jetfleet.broker.read_model.errors import InvalidSearch
from jetfleet.broker.read_model.search import compile_filter
from jetfleet.broker.server.log_lines import parse as parse_log_line
from jetfleet.schemas import messages
from jetfleet.schemas.conditions import parse_condition
from jetfleet.schemas.errors import ConditionError, InvalidFlow, JetfleetError, SelectorError, UnreadableRecord, UsageError
from jetfleet.schemas.flow.cron import Schedule, check
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.flow.triggers.route import parse_route
from jetfleet.schemas.payload import encode
from jetfleet.schemas.selectors import compile_template, parse_path
from jetfleet.schemas.source.document import read
from jetfleet.schemas.source.loader import parse_flow
from jetfleet.schemas.value_schema import flaw, misfits

from .target import Target, text

EXAMPLES = Path(__file__).parents[3] / "examples"
NOW_MS = 1_790_000_000_000
FLOW = b"""
name: orders
version: "1"
inputs: {type: object, properties: {n: {type: integer}}}
triggers:
  api: {type: webhook, params: {path: /orders}}
  hourly: {type: cron, params: {schedule: "0 * * * *"}}
nodes:
  fetch: {type: "std::set", config: {values: {n: "${trigger.payload.n}", t: "a ${trigger.meta.x[0]} b"}}, retry: {max_attempts: 3, initial_delay_ms: 10}}
  big: {type: "std::switch", config: {condition: "n > 100"}}
  each: {type: "std::set", timeout_ms: 1000, config: {values: {a: 1}}}
edges:
  - {from: fetch, to: big}
  - {from: big.true, to: each}
"""
_ZONES = (UTC, ZoneInfo("Europe/Berlin"))


def _flows() -> Sequence[bytes]:
    return [FLOW, *(file.read_bytes() for file in sorted(EXAMPLES.glob("*.yaml"))[:12])]


def _definitions() -> Sequence[bytes]:
    return [messages.encode(define(Flow.model_validate(read(FLOW_PLAIN).value)))]


FLOW_PLAIN = b'{"name": "orders", "nodes": {"a": {"type": "log", "config": {"message": "${trigger.payload.n}"}}, "b": {"type": "log"}}, "edges": [{"from": "a", "to": "b"}]}'


def _definition(data: bytes) -> None:
    compile_definition(messages.decode(messages.Definition, data))


def _flow(data: bytes) -> None:
    """What is wrong with it is told in a list; `require` raises it."""
    parse_flow(data).require()


def _template(data: bytes) -> None:
    template = compile_template(_json(data))
    template.render(lambda selector: {"a": [1, None, 2.5, "x"]})


def _condition(data: bytes) -> None:
    condition = parse_condition(_json(data))
    condition.test({"n": 5, "text": "abc", "deep": {"a": [True]}}, lambda selector: "12")


def _schedule(text: str) -> None:
    """As a flow's trigger is checked, and then computed on."""
    check(text)
    for zone in _ZONES:
        Schedule(text, zone).next(datetime(2026, 3, 29, 0, 59, tzinfo=UTC))


def _schema(data: bytes) -> None:
    """A schema of a wait or of inputs, and a value that is held against it."""
    schema = _json(data)
    if flaw(schema) is None:
        misfits(schema, {"n": 5, "text": "a" * 200}, "value")


def _json(data: bytes) -> Any:
    return msgspec.json.decode(data)


def _shown(text: str) -> None:
    """Whatever a text holds, what is printed of it has no control characters, and can be printed."""
    assert printable(text).isprintable() or not text
    as_text(text), as_json(text)


def _each_json(*values: Any) -> Sequence[bytes]:
    return [json.dumps(value).encode() for value in values]


_NOT_JSON = (msgspec.MsgspecError, RecursionError, UnicodeError)
_NOT_MSGPACK = _NOT_JSON
_WHERE = (
    b"flow = orders and status = failed and started > -1h",
    b'duration > 5s or (error ~ "time out" and not id ~ test)',
    b"ended < 2026-03-01T08:30 and records >= 5",
    b"id = orders-* and trigger != api",
)
_CRON = (b"*/5 * * * *", b"0 30 2 * * mon-fri", b"@daily", b"0 0 L * *", b"0 0 * * fri#2", b"15,45 1-5/2 1 jan ?", b"0 0 0 29 2 * 2028")
_CONDITIONS = (
    "n > 100",
    "${text} == 'abc'",
    "always",
    {"type": "matches", "field": "text", "pattern": "^a.c$"},
    {"greater_than": {"field": "n", "value": "${pipeline.config.x}"}},
    {"expression": "n != 5"},
    {"type": "equals", "field": "deep.a[0]", "value": True},
)
_TEMPLATES = ("${a.b[0].c}", "x ${a} y $${b} ${c.d}", {"a": ["${a}", 1, None]}, "plain")
_SCHEMAS = (
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "pattern": "^a+$"}}, "required": ["n"]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    {"anyOf": [{"const": 1}, {"enum": [1, 2]}]},
    True,
)
_PLACES = (b"ref:host/worker-1/3/4096.rows[3].id", b"ref:abcdef012345.a", b"orders-1:load.rows[3]", b"orders-1:output")

TARGETS = (
    Target("flow", _flow, _flows, (InvalidFlow,)),
    Target("flow as JSON", _flow, lambda: [FLOW_PLAIN], (InvalidFlow,)),
    Target("plan", _definition, _definitions, (UnreadableRecord, BrokenDefinition)),
    Target("path", text(parse_path), lambda: [b"a.b[0].c", b"$.a[1]", b"[0][1]", b"$"], (SelectorError,)),
    Target("template", _template, lambda: _each_json(*_TEMPLATES), (SelectorError, *_NOT_JSON)),
    Target("condition", _condition, lambda: _each_json(*_CONDITIONS), (ConditionError, *_NOT_JSON)),
    Target("schema", _schema, lambda: _each_json(*_SCHEMAS), _NOT_JSON),
    Target("filter of runs", text(lambda where: compile_filter(where, NOW_MS)), lambda: _WHERE, (InvalidSearch,)),
    Target("cron schedule", text(_schedule), lambda: _CRON, (ValueError,)),
    Target("route of a webhook", text(parse_route), lambda: [b"/orders/{id}/lines/{rest:path}", b"/", b"/a/b"], (ValueError,)),
    Target("--set", text(_change), lambda: [b"trigger.amount=5", b'charge[2].total={"a": [1]}', b"a=text", b"a.b=null"], (UsageError,)),
    Target("--input", lambda data: parse_json(data, "the input"), lambda: _each_json({"order": 5, "lines": [1, 2.5, None]}, "text", []), (UsageError,)),
    Target("place of a payload", text(parse_place), lambda: _PLACES, (UsageError,)),
    Target("traceparent", text(parse_traceparent), lambda: [b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"], ()),
    Target("log line of the server", text(parse_log_line), lambda: [b"[4711] 2026/03/01 08:30:00.123456 [INF] Server is ready", b"[1] [WRN] x"], ()),
    Target("text that is printed", lambda data: _shown(data.decode(errors="replace")), lambda: [b"plain", b"\x1b[31mred\x1b[0m", "ünï‮".encode()], ()),
    Target("time that is printed", lambda data: moment(msgspec.msgpack.decode(data, type=int)), lambda: [msgspec.msgpack.encode(each) for each in (NOW_MS, 0, -1, 2**53, 2**64 - 1)], _NOT_MSGPACK),
    Target("value that is sent", lambda data: encode(parse_json(data, "it")), lambda: _each_json({"a": [1, "x", None, 2.5]}), (JetfleetError,)),
)  # fmt: skip
