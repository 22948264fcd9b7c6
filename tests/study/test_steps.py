"""Steps: a journal record by record says what each record changed, and ends where the fold of the journal ends."""

from __future__ import annotations

import pytest

from jetfleet.broker.engine import digest, fold, restore, snapshot, state_at
from jetfleet.broker.engine.decide import decide
from jetfleet.broker.study.steps import record_number_at, steps
from jetfleet.broker.study.studied import Studied
from jetfleet.schemas.effects import Dispatch, FinishRun, SetTimer
from jetfleet.schemas.errors import UnreadableRecord

from ..engine.driving import START, Driver
from .played import SPLIT, order


def test_each_step_says_what_the_record_changed_and_what_was_asked_for() -> None:
    driver = order(3, fails=1)
    found = list(steps(driver.plan, driver.journal))
    told = [[str(change) for change in step.changes] for step in found]
    assert told == [
        [
            "run: – → running",
            "big: pending → completed",
            "check: pending → running",
            "refuse: pending → skipped",
            "report: pending → skipped",
        ],
        ["check: running → retrying"],
        ["check: retrying → running"],
        ["run: running → completed", "check: running → completed"],
    ]
    assert [[type(effect) for effect in step.effects] for step in found] == [[Dispatch], [SetTimer], [Dispatch], [FinishRun]]


def test_the_items_of_a_split_are_told_when_they_start_and_when_they_end() -> None:
    driver = Driver(SPLIT, {"rows": [1, 2, 3]}, trigger="api").work()
    changes = [(change.node, change.after) for step in steps(driver.plan, driver.journal) for change in step.changes]
    for item in range(3):
        assert [after for node, after in changes if node == f"work[{item}]"] == ["running", "completed"]


def test_the_state_after_n_records_is_the_replay_of_the_first_n() -> None:
    driver = Driver(SPLIT, {"rows": list(range(12))}, trigger="api").work()
    for step in steps(driver.plan, driver.journal):  # 13 records and more: their numbers are counted, not sorted as texts
        assert digest(step.run) == digest(state_at(driver.plan, driver.journal, step.number + 1))


def test_a_snapshot_and_the_records_behind_it_are_the_whole_journal() -> None:
    driver = order(3, fails=2)
    for cut in range(1, len(driver.journal)):
        run = restore(driver.plan, snapshot(fold(driver.plan, driver.journal[:cut])))
        for record in driver.journal[cut:]:
            decide(run, record)
        assert digest(run) == digest(fold(driver.plan, driver.journal))


def test_a_record_that_comes_twice_is_a_step_that_means_nothing() -> None:
    driver = order(3)
    journal = [*driver.journal, driver.journal[-1]]
    assert [step.ignored for step in steps(driver.plan, journal)] == [False] * len(driver.journal) + [True]


def test_a_time_is_a_number_of_records() -> None:
    journal = order(3, fails=1).journal
    times = [record.at for record in journal]
    assert record_number_at(journal, START - 1) == 0
    assert record_number_at(journal, times[-1]) == len(journal)
    assert record_number_at(journal, times[1]) == sum(at <= times[1] for at in times)


def test_the_time_that_a_node_took_has_its_retries_in_it() -> None:
    driver = order(3, fails=2)
    run = Studied(driver.plan, driver.journal)
    assert run.took_ms("check") == driver.journal[-1].at - START > 0
    assert (run.took_ms("big"), run.took_ms("refuse")) == (0, None)


def test_records_that_do_not_begin_with_a_start_are_no_journal() -> None:
    driver = order(3)
    with pytest.raises(UnreadableRecord, match="RunStarted"):
        list(steps(driver.plan, driver.journal[1:]))
