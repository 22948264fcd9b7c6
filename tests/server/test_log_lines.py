"""The server's log as lines of ours."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from jetfleet.broker.server.log_lines import KEPT_LINES, LogLines, parse


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("[4711] [INF] Server is ready", "debug", "Server is ready"),
        ("[4711] [WRN] JetStream is slow", "warning", "JetStream is slow"),
        ('[4711] [ERR] 127.0.0.1:5 - cid:1 - "[WRN]"', "error", '127.0.0.1:5 - cid:1 - "[WRN]"'),
        ("[4711] [FTL] Error listening on port", "error", "Error listening on port"),
        ("[4711] [NEW] of a later version", "error", "of a later version"),
        ("goroutine 1 [running]:", "error", "goroutine 1 [running]:"),
    ],
)
def test_the_levels_are_ours(line: str, level: str, text: str) -> None:
    assert parse(line) == (level, text)


def forwarded(data: bytes, limit: int = 65_536) -> tuple[LogLines, list[tuple[str, str]]]:
    async def forward() -> LogLines:
        stream = asyncio.StreamReader(limit)
        stream.feed_data(data)
        stream.feed_eof()
        lines = LogLines()
        await lines.forward(stream)
        return lines

    with structlog.testing.capture_logs() as captured:
        lines = asyncio.run(forward())
    return lines, [(line["log_level"], line["event"]) for line in captured]


def test_the_banner_and_empty_lines_are_left_out() -> None:
    _, said = forwarded(b"[1] [INF] Starting JetStream\n[1] [INF]     _ ___ _____ ___ _____\n[1] [INF] \n\n[1] [WRN] last, without an end")
    assert said == [("debug", "Starting JetStream"), ("warning", "last, without an end")]


def test_bytes_that_are_no_text_and_lines_without_end_are_forwarded_too() -> None:
    _, said = forwarded(b"[1] [ERR] \xff\xfe name\n" + b"x" * 300 + b"\n[1] [INF] goes on\n", limit=100)
    assert said[0] == ("error", "\ufffd\ufffd name")
    assert "".join(text for _, text in said[1:-1]) == "x" * 300
    assert said[-1] == ("debug", "goes on")


def test_the_last_lines_are_kept_for_the_moment_when_it_dies() -> None:
    lines, _ = forwarded(b"".join(b"[1] [INF] line %d\n" % number for number in range(100)))
    assert list(lines.last) == [f"line {number}" for number in range(100 - KEPT_LINES, 100)]
