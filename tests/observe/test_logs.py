"""The log: what a line looks like, who it says that it is from, and that nothing in it can do harm."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest
import structlog

from jetfleet.broker.observe import logs

Lines = list[dict[str, Any]]


def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_says_which_process_and_what_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json", "worker")
    log = structlog.get_logger("jetfleet.worker")
    log.info("starts")
    logs.name_process("worker", "worker-a-1")
    log.warning("an attempt failed", run="orders-1", node="charge", attempt=2, partition=3, seq=7)
    first, second = lines(capsys)
    assert (first["event"], first["role"], "id" in first) == ("starts", "worker", False)
    timestamp = second.pop("timestamp")
    assert timestamp.endswith("Z")
    assert second == {
        "event": "an attempt failed", "level": "warning", "logger": "jetfleet.worker", "role": "worker", "id": "worker-a-1",
        "run": "orders-1", "node": "charge", "attempt": 2, "partition": 3, "seq": 7,
    }  # fmt: skip


def test_what_is_bound_and_given_comes_before_what_the_process_says(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json", "coordinator")
    structlog.get_logger().bind(partition=3).info("x", role="told")
    assert [(line["partition"], line["role"]) for line in lines(capsys)] == [(3, "told")]


@pytest.mark.parametrize(("level", "said"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str], level: str, said: int) -> None:
    logs.configure(level, "json")
    log = structlog.get_logger()
    for say in (log.debug, log.info, log.warning, log.error):
        say("x")
    assert len(lines(capsys)) == said


def test_without_a_terminal_auto_is_json_and_pretty_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "auto")
    structlog.get_logger().info("for machines")
    assert [line["event"] for line in lines(capsys)] == ["for machines"]
    logs.configure("info", "pretty")
    structlog.get_logger().info("for people", run="orders-1")
    said = capsys.readouterr().err
    assert "for people" in said and "run=orders-1" in said and not said.startswith("{")


def test_a_traceback_is_text_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "pretty"):
        logs.configure("info", form)
        try:
            password = "".join(["sword", "fish"])
            raise ValueError(f"{len(password)} characters")
        except ValueError:
            structlog.get_logger().exception("it failed")
        said = capsys.readouterr().err
        assert "9 characters" in said and "swordfish" not in said
    logs.configure("info", "json")
    structlog.get_logger().error("it failed", exc_info=ValueError("no"))
    assert "ValueError: no" in lines(capsys)[0]["exception"]


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize("value", [Odd(), "\ud800", 2**70, {("a", 1): object()}, {1, 2}, b"\xff", float("nan"), "two\nlines"])
def test_every_value_makes_one_line_of_json(capsys: pytest.CaptureFixture[str], value: object) -> None:
    logs.configure("info", "json")
    structlog.get_logger().info("x", value=value, run="orders-1")
    assert [(line["event"], line["run"]) for line in lines(capsys)] == [("x", "orders-1")]


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_nobody_fails_because_nobody_reads_the_log(monkeypatch: pytest.MonkeyPatch, form: logs.Form) -> None:
    logs.configure("info", form)
    log = structlog.get_logger()
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        log.error("x")
        logs.configure("info", form)


def test_what_libraries_log_comes_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json", "worker")
    logging.getLogger("asyncio").error("Task exception was never %s", "retrieved")
    logging.getLogger("aiohttp").info("not worth a line")
    logs._Foreign().emit(logging.LogRecord("wrong", logging.WARNING, "", 0, "%d", ("no number",), None))
    assert [(line["event"], line["logger"], line["level"], line["role"]) for line in lines(capsys)] == [
        ("Task exception was never retrieved", "asyncio", "error", "worker")
    ]


def test_configuring_twice_says_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        logs.configure("info", "json", "worker")
    logging.getLogger("asyncio").error("once")
    assert len(lines(capsys)) == 1


def test_a_log_that_a_program_has_configured_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    logs.configure_if_nobody_did()
    structlog.get_logger().info("theirs")
    assert capsys.readouterr().out == "event='theirs'\n"
    assert not [handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Foreign)]
