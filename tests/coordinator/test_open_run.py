"""An open run in its owner's memory: its journal is cut into parts that say the same, and it rests and wakes as the run it was."""

from __future__ import annotations

from random import Random

import pytest

from jetfleet.broker.coordinator.open_run import OpenRun, may_rest
from jetfleet.broker.engine import begin, decide, digest, outstanding, restore, snapshot
from jetfleet.schemas.chain import UNKNOWN, chain
from jetfleet.schemas.codec import decode_record, encode_record
from jetfleet.schemas.effects import Dispatch, SetTimer
from jetfleet.schemas.errors import UnreadableRecord
from jetfleet.schemas.messages import Part, Summary, decode
from jetfleet.schemas.payload import NULL, encode
from jetfleet.schemas.records import Completion, Record, SignalReceived

from .keepers import DAY_MS, PLAN, start

SUMMARY = Summary("patient", "1", PLAN.digest, "completed", "go", 1, 2)


def open_run() -> OpenRun:
    return OpenRun.begun(begin(PLAN, start(1))[0], 1)


def records(count: int) -> list[Record]:
    return [SignalReceived("patient/1", number, f"s{number}", encode({"n": "x" * number})) for number in range(count)]


def waiting() -> OpenRun:
    """A run that waits for days, for a signal and for an event."""
    run = open_run()
    (task,) = [wish for wish in outstanding(run.run) if isinstance(wish, Dispatch)]
    decide(run.run, Completion("patient/1", start(1).at, task.activation, 1, output=NULL))
    decide(run.run, SignalReceived("patient/1", start(1).at, "ready"))
    return run


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_a_journal_joined_are_the_records_that_came(seed: int) -> None:
    chance, run, came = Random(seed), open_run(), records(30)
    parts = []
    for number, record in enumerate(came):
        run.remember(encode_record(record), number)
        if chance.random() < 0.2:
            parts.append(decode(Part, run.cut()))
    parts.append(decode(Part, run.cut(SUMMARY)))
    assert [decode_record(raw) for part in parts for raw in part.records] == came
    assert [part.first for part in parts] == [sum(len(earlier.records) for earlier in parts[:place]) for place in range(len(parts))]
    assert [part.summary for part in parts] == [None] * (len(parts) - 1) + [SUMMARY]
    assert {part.run for part in parts} == {"patient/1"}
    encoded = [encode_record(record) for record in came]
    assert [part.chain for part in parts] == [chain("patient/1", encoded[: part.first + len(part.records)]) for part in parts]
    assert (run.archived, run.count, len(run.tail)) == (30, 0, 0)


def test_the_tail_is_what_came_since_the_last_cut() -> None:
    run, came = open_run(), records(5)
    for record in came[:2]:
        run.remember(encode_record(record), 3)
    run.cut()
    assert run.records() == []
    for record in came[2:]:
        run.remember(encode_record(record), 4)
    assert [decode_record(raw) for raw in run.records()] == came[2:]
    assert (run.at, run.archived, run.count) == (4, 2, 3)


def test_a_part_without_records_can_be_read() -> None:
    assert decode(Part, open_run().cut(SUMMARY)) == Part("patient/1", 0, [], SUMMARY, chain("patient/1", []))


def test_a_journal_whose_beginning_had_no_chain_never_gets_one() -> None:
    run = open_run()
    run.archived = 7  # by an owner of before
    run.remember(encode_record(records(1)[0]), 1)
    assert decode(Part, run.cut()).chain == UNKNOWN


def test_a_run_that_rests_wakes_as_it_was() -> None:
    run = waiting()
    before = digest(run.run)
    run.rest(snapshot(run.run))
    assert digest(run.look()) == before and run.rests
    assert digest(run.run) == before and not run.rests
    assert run.look() is run.run
    assert run.run is run.run


def test_a_run_rests_only_while_nothing_of_it_is_needed_in_memory() -> None:
    now = start(1).at
    assert not may_rest(open_run().run, now), "its task is out"
    run = waiting().run
    (due,) = [wish.due for wish in outstanding(run) if isinstance(wish, SetTimer)]
    assert due >= now + 3 * DAY_MS
    assert may_rest(run, due - 1)
    assert not may_rest(run, due), "memory keeps that timer"


def test_bytes_that_are_no_state_do_not_wake() -> None:
    run = OpenRun("patient/1", PLAN, 1, state=b"\xc1 nothing")
    with pytest.raises(UnreadableRecord):
        run.wake()
    assert restore(PLAN, snapshot(waiting().run)).id == "patient/1"
