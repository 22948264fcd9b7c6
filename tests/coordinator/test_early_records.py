"""What is said to a run before it has begun."""

from __future__ import annotations

from jetfleet.broker.coordinator.early_records import AGE_MAX, COUNT_MAX, EarlyRecords
from jetfleet.schemas.records import Completion, SignalReceived


def keep(early: EarlyRecords, run: str, seq: int) -> bool:
    return early.keep(SignalReceived(run, 0, "go"), f"{run} {seq}".encode(), seq)


def test_what_was_said_to_a_run_is_handed_over_once_in_order() -> None:
    early = EarlyRecords()
    assert keep(early, "a", 1) and keep(early, "b", 2) and keep(early, "a", 3)
    assert early.oldest == 1
    assert early.take("a") == [b"a 1", b"a 3"]
    assert early.take("a") == []
    assert early.oldest == 2


def test_a_completion_of_an_unknown_run_is_not_kept() -> None:
    early = EarlyRecords()
    assert not early.keep(Completion("a", 0, (0,), 1), b"", 1)
    assert early.oldest == 0


def test_only_the_latest_are_kept_and_none_for_ever() -> None:
    early = EarlyRecords()
    for seq in range(1, COUNT_MAX + 3):
        keep(early, f"run {seq}", seq)
    assert early.take("run 1") == early.take("run 2") == []
    assert early.oldest == 3
    keep(early, "late", 3 + AGE_MAX + 1)
    assert early.oldest > 3
