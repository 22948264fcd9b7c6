"""Coordinators that are killed while collections are open, close and start: every event is in exactly one run."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ..fleet.fleets import LONG_S, Fleet, chain, coordinator_process, fleet
from ..fleet.running import run
from ..fleet.trouble import until

EVENTS, WAVES = 60, 6
KEY = "${trigger.payload.key}"


def in_runs(one: Fleet) -> Counter[int]:
    """How many runs each event is a part of."""
    found: Counter[int] = Counter()
    for id in one.log.begun:
        payloads = {record.payload for record in one.log.of(id, RunStarted)}
        assert len(payloads) == 1, f"run {id} was started with several payloads"
        found.update(item["n"] for item in decode(payloads.pop()))
    return found


async def owned_elsewhere(one: Fleet, here: int) -> None:
    await until(lambda: len(one.coordinators[0].owners) == here and not one.coordinators[0].ready, f"{here} partitions here")


def test_kill_9_at_any_moment_leaves_each_event_in_exactly_one_run(fresh_url: str, tmp_path: Path) -> None:
    """Batches of five close by their size all the time, the rest of each key by its time."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=4) as one:
            await one.deploy(chain("orders", "f.echo", settings={"batch": {"max": 5, "within": "300ms", "key": KEY}}))
            sent = 0
            for wave in range(WAVES // 2):
                with ExitStack() as processes:
                    other = processes.enter_context(coordinator_process(fresh_url, tmp_path / f"other{wave}"))
                    await owned_elsewhere(one, 2)
                    for part in range(2):
                        events = [{"n": n, "key": f"k{n % 7}"} for n in range(sent, sent + EVENTS)]
                        sending = asyncio.gather(*(one.client.send("orders", event, id=f"e{event['n']}") for event in events))
                        sent += EVENTS
                        if part:  # while they are taken in, collected, and started
                            begun = len(one.log.begun)
                            await one.log.until(lambda begun=begun: len(one.log.begun) > begun, "a run of this wave")
                            other.kill()
                        await sending
                    await owned_elsewhere(one, 4)
            await one.log.until(lambda: len(in_runs(one)) == sent, "all events in runs", LONG_S)
            await one.log.ended(*one.log.begun, deadline_s=LONG_S)
            await one.quiet()
            assert in_runs(one) == Counter(range(sent))
            assert not [
                each for owner in one.coordinators[0].owners.values() if owner.partition for each in owner.partition.collections.waiting()
            ]

    run(test(), 100)
