"""Words: time spans as people read them, and what a queued run waits for."""

from __future__ import annotations

import pytest

from jetfleet.broker.engine import Blocked
from jetfleet.broker.study.words import in_words, span


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"), (999, "999 ms"), (2_050, "2 s 50 ms"), (180_275, "3 min"), (3_605_000, "1 h"), (5_400_000, "1 h 30 min"), (86_400_000, "1 d"),
    ],
)  # fmt: skip
def test_a_time_span_is_read_in_its_largest_unit_and_the_next(ms: int, words: str) -> None:
    assert span(ms) == words


def test_a_queued_run_waits_for_its_place_and_at_a_rate_for_a_time() -> None:
    queued = Blocked("run", "limit", "=flow:orders:acme, 2 at a time")
    assert in_words(queued, 0) == "run waits for its place at limit =flow:orders:acme, 2 at a time"
    told = Blocked("run", "limit", "=rate:orders:, 2 begin per 5,000 ms", 12_000)
    assert in_words(told, 2_000) == "run waits for its place at limit =rate:orders:, 2 begin per 5,000 ms, for 10 s"
