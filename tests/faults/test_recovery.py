"""Recovery times: what a fault affected, and when that went on."""

from __future__ import annotations

from jetfleet.schemas import subjects
from jetfleet.schemas.payload import NULL
from jetfleet.schemas.records import Completion

from .evidence import Entry, Evidence
from .ledger import Account, Acked, Effect
from .recovery import percentiles, recoveries
from .shape import Strike
from .watcher import End

S = 1_000_000_000
RUN = "orders-1"
PARTITION = subjects.partition_of(RUN, 2)
ENDS = {RUN: End("completed", 30 * S)}


def evidence(*completed_s: int) -> Evidence:
    """A run that was acknowledged at 10 s, whose node 0 began on process 7 at 12 s."""
    account = Account(acked=[Acked("k", RUN, 10 * S)], effects=[Effect(RUN, "0", 1, "7", "key", 12 * S)])
    return Evidence(
        account, [Entry(PARTITION, seq, at_s * S, Completion(RUN, 0, (0,), 1, "out", NULL)) for seq, at_s in enumerate(completed_s, 1)]
    )


def times(strikes: list[Strike], found: Evidence) -> list[tuple[str, float, float, bool]]:
    return [(each.strike.name, each.first_s, each.all_s, each.alone) for each in recoveries(strikes, found, ENDS, 2)]


def test_a_killed_worker_counts_until_what_it_had_in_work_is_recorded() -> None:
    strike = Strike("kill", "worker-0", 7, 13 * S)
    assert times([strike], evidence(16)) == [("worker-0", 3.0, 3.0, True)]
    assert times([Strike("kill", "worker-0", 8, 13 * S)], evidence(16)) == [], "another one had it"
    assert times([Strike("kill", "worker-0", 7, 17 * S)], evidence(16)) == [], "it was recorded"


def test_a_killed_coordinator_counts_until_runs_of_its_partitions_end() -> None:
    mine, other = frozenset({PARTITION}), frozenset({1 - PARTITION})
    assert times([Strike("kill", "coordinator-0", 5, 20 * S, mine)], evidence()) == [("coordinator-0", 10.0, 10.0, True)]
    assert times([Strike("kill", "coordinator-0", 5, 20 * S, other)], evidence()) == []


def test_the_server_is_everybodys_and_a_reader_holds_up_nobody() -> None:
    strikes = [Strike("kill", "server", 1, 20 * S), Strike("kill", "reader-0", 2, 21 * S)]
    assert times(strikes, evidence()) == [("server", 10.0, 10.0, True)]


def test_a_fault_before_the_first_progress_of_another_one_is_told() -> None:
    strikes = [Strike("kill", "server", 1, 20 * S), Strike("kill", "worker-0", 8, 25 * S)]
    assert times(strikes, evidence()) == [("server", 10.0, 10.0, False)]


def test_percentiles_are_values_that_were_there() -> None:
    assert percentiles([]) == "–"
    assert percentiles([float(number) for number in range(1, 101)]) == "50.00 / 99.00 / 100.00 s (n = 100)"
