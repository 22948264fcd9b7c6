"""The ledger finds what it is there to find."""

from __future__ import annotations

from .ledger import UNNUMBERED, Begun, Kill, Ledger, Verdict, not_injected
from .ledger import judge as judged


def told(*numbers: int) -> Ledger:
    ledger = Ledger()
    for number in numbers:
        ledger.acknowledged(number, f"run{number}")
    return ledger


def runs(*numbers: int) -> list[Begun]:
    return [Begun(f"run{number}", number) for number in numbers]


def judge(ledger: Ledger, begun: list[Begun]) -> Verdict:
    """Where each run lived once."""
    return judged(ledger, begun, dict.fromkeys((each.run for each in begun), 1))


def test_one_run_for_each_acknowledged_thing_is_no_reason_to_complain() -> None:
    verdict = judge(told(1, 2, 3), runs(3, 1, 2))
    assert verdict.complaints == [] and (verdict.acknowledged, verdict.runs) == (3, 3)


def test_a_thing_that_was_handed_over_and_not_acknowledged_may_have_a_run() -> None:
    ledger = told(1)
    ledger.offered(2)
    ledger.offered(3)
    assert judge(ledger, runs(1, 2)).complaints == []


def test_a_thing_without_a_run_is_missing() -> None:
    assert judge(told(1, 2, 3), runs(2)).missing == [1, 3]
    assert judge(told(1), []).complaints == ["1 missing: [1]"]


def test_a_thing_with_two_runs_is_doubled() -> None:
    verdict = judge(told(1, 2), [*runs(1, 2), Begun("another", 2)])
    assert (verdict.doubled, verdict.missing, verdict.runs) == ([2], [], 3)


def test_a_run_that_nobody_asked_for_is_foreign() -> None:
    assert judge(told(1), [*runs(1), Begun("ghost", 9), Begun("blank", UNNUMBERED)]).foreign == ["blank", "ghost"]


def test_a_run_with_the_payload_of_another_is_misnamed() -> None:
    verdict = judge(told(1, 2), [Begun("run1", 2), Begun("run2", 1)])
    assert verdict.misnamed == [1, 2] and len(verdict.complaints) == 1


def test_a_run_that_stands_twice_in_the_wal_is_one_if_it_lived_once() -> None:
    assert judge(told(1), runs(1, 1)).complaints == []
    assert judge(told(1, 2), [*runs(1, 2), Begun("run1", 2)]).doubled == [2], "with another payload it is not the same"


def test_a_run_that_lived_twice_or_never_ended_is_told() -> None:
    assert judged(told(1, 2, 3), runs(1, 2, 3), {"run1": 2, "run2": 1, "ghost": 1, "other": 2}).reborn == ["other", "run1", "run3"]


def test_kills_that_hit_nothing_prove_nothing() -> None:
    ledger = told(1)
    ledger.kills = [Kill(runs=10, under_way=3)]
    assert not_injected(ledger, 1) == []
    assert not_injected(ledger, 2) == ["1 kills instead of 2"]
    ledger.kills.append(Kill(runs=20, under_way=0))
    assert not_injected(ledger, 2) == ["nothing was under way at kill 2"]
