"""std::log, and the log of own nodes."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from jetfleet.schemas.payload import encode
from jetfleet.workers import Context, node
from jetfleet.workers.providers import Services

from .bench import Bench


def lines(bench: Bench, *args: Any, **kwargs: Any) -> list[Any]:
    with structlog.testing.capture_logs() as captured:
        bench.execute(*args, **kwargs)
    return captured


def test_a_log_line_knows_its_run_node_and_attempt(bench: Bench) -> None:
    config = {"message": "order ${order.id}", "level": "warn"}
    (line,) = lines(bench, "std::log", {"a": 1}, config, {"order": {"id": 7}}, attempt=2)
    assert line == {"event": "order 7", "log_level": "warning", "run": "run-1", "node": "subject", "attempt": 2}


def test_without_a_message_the_input_is_logged(bench: Bench) -> None:
    (line,) = lines(bench, "std::log", {"a": [1, None]}, {})
    assert line["event"] == '{"a":[1,null]}'


@pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "error"])
def test_every_level_is_known(bench: Bench, level: str) -> None:
    assert len(lines(bench, "std::log", None, {"message": "x", "level": level})) == 1


def test_the_input_goes_on_unchanged(bench: Bench) -> None:
    value = {"z": 1, "a": [1.0, b"bytes", None]}
    assert bench.execute("std::log", value, {"message": "x"}).output == encode(value)


def test_secrets_are_never_logged(bench: Bench) -> None:
    bench.services = Services(environ={"JETFLEET_SECRET_TOKEN": "s3cret", "JETFLEET_SECRET_LONG": "s3cret-and-more"})

    @node("test.talk", mode="inline", registry=bench.registry)
    def talk(value: Any, context: Context) -> None:
        context.log.info(f"token {context.secrets['token']}", nested={"list": ["s3cret-and-more"]})

    (line,) = lines(bench, "test.talk")
    assert line["event"] == "token ***"
    assert line["nested"] == {"list": ["***"]}
    (line,) = lines(bench, "std::log", {"password": "s3cret"}, {})
    assert line["event"] == '{"password":"***"}'
