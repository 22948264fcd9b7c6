"""A load starts every run once and never more at a time than it says."""

import asyncio

from benchmarks.load import Load, drive


def test_every_run_is_started_once_and_no_more_at_a_time_than_asked_for():
    begun, running, most = [], 0, 0

    async def one(number):
        nonlocal running, most
        begun.append(number)
        running += 1
        most = max(most, running)
        for _ in range(number % 3):
            await asyncio.sleep(0)
        running -= 1

    load = asyncio.run(drive(one, runs=50, concurrency=7, nodes_per_run=3))
    assert sorted(begun) == list(range(50))
    assert most == 7
    assert (load.runs, load.nodes, len(load.latencies_ms)) == (50, 150, 50)


def test_percentiles_are_latencies_that_were_measured():
    load = Load(runs=200, nodes=600, seconds=2.0, latencies_ms=[float(number) for number in range(200)])
    assert (load.p50_ms, load.p99_ms) == (100.0, 198.0)
    assert (load.runs_per_s, load.nodes_per_s) == (100, 300)
