"""Limits on a real fleet: exact over all partitions, and free again whatever becomes of who holds them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from jetfleet.broker.coordinator.slot_audit import audit
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_batch
from jetfleet.schemas.records import CancelRequested, SlotGranted, SlotWanted, TimerFired

from ..fleet.running import run
from ..fleet.trouble import until
from .limited import Limited, limited, limited_fleet

PER_KEY = {"concurrency": {"max": 3, "key": "${trigger.payload.key}"}}


async def nothing_held(one: Limited) -> None:
    """Wait until every gate is forgotten: nobody holds, nobody waits."""
    await until(lambda: not one.gates(), f"no gate left: {list(one.gates())}")


def test_no_key_ever_has_more_runs_at_work_than_its_limit_and_all_complete(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path, partitions=3, coordinators=2) as one:
            await one.deploy(limited("orders", PER_KEY))
            runs = [await one.send("orders", n, key, held=True) for n in range(30) for key in ("a", "b", "c")]
            await until(lambda: one.ledger.inside() == 9, "three of each key at work")
            one.release.touch()
            summaries = await one.log.ended(*runs)
            assert {summary.status for summary in summaries} == {"completed"}
            assert one.ledger.most() == {"a": 3, "b": 3, "c": 3}
            await nothing_held(one)

    run(test())


def test_a_limit_of_a_node_holds_over_all_runs_and_items(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        split = {
            "name": "fan", "triggers": [{"id": "go", "type": "manual"}],
            "nodes": {
                "each": {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": 50}},
                "work": {"type": "l.work", "concurrency": {"max": 4}},
            },
            "edges": [{"from": "go", "to": "each"}, {"from": "each.item", "to": "work"}],
        }  # fmt: skip
        async with limited_fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(split)
            items = [{"n": n, "log": str(one.ledger.path), "ms": 1} for n in range(60)]
            runs = [await one.client.send("fan", {"items": items}, id=f"r{n}") for n in range(2)]
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert one.ledger.most() == {"": 4}
            assert len(one.ledger.begun()) == 120
            await nothing_held(one)

    run(test())


def test_who_is_cancelled_killed_or_fails_frees_its_slot_whether_it_holds_or_waits(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(limited("orders", {"concurrency": {"max": 2}}))
            limit = "=flow:orders:"
            first = [await one.send("orders", n, held=True) for n in range(2)]
            await until(lambda: one.ledger.inside() == 2, "two at work")
            waiting = [await one.send("orders", n, held=True, fails=9) for n in range(2, 6)]
            await until(lambda: one.waiting(limit) == 4, "four in line")
            await one.client.cancel(waiting[0], "not needed")
            await one.client.kill(waiting[1])
            summaries = await one.log.ended(*waiting[:2])
            assert [summary.status for summary in summaries] == ["cancelled", "killed"]
            assert set(one.ledger.begun()) == set(first), "who was cancelled in line never began"
            await one.client.kill(first[0])
            await one.client.cancel(first[1])
            await until(lambda: len(one.ledger.begun()) == 4, "the next two begin")
            one.release.touch()
            assert {summary.status for summary in await one.log.ended(*waiting[2:])} == {"failed"}
            await nothing_held(one)

    run(test())


def test_a_run_that_finds_no_place_is_refused_or_drives_the_oldest_out(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(
                limited("strict", {"concurrency": {"max": 1, "on_limit": "reject"}}),
                limited("fresh", {"concurrency": {"max": 1, "on_limit": "cancel_oldest"}}),
                limited("latest", concurrency={"max": 1, "on_limit": "cancel_oldest"}),
            )
            holds = await one.send("strict", 0, held=True)
            await until(lambda: one.ledger.inside() == 1, "the first at work")
            (refused,) = await one.log.ended(await one.send("strict", 1))
            assert refused.error is not None
            assert (refused.status, refused.error.type, refused.error.retryable) == ("failed", "limit_reached", False)

            old = await one.send("fresh", 0, held=True)
            await until(lambda: one.ledger.inside() == 2, "the old one at work")
            new = await one.send("fresh", 1, held=True)
            (driven_out,) = await one.log.ended(old)
            assert driven_out.status == "cancelled"
            assert "newer" in one.log.of(old, CancelRequested)[0].reason
            await until(lambda: new in one.ledger.begun(), "the new one at work")

            stale = await one.send("latest", 0, held=True)
            await until(lambda: stale in one.ledger.begun(), "the stale one at work")
            last = await one.send("latest", 1, held=True)
            (superseded,) = await one.log.ended(stale)
            assert superseded.error is not None
            assert (superseded.error.type, superseded.error.retryable) == ("concurrency_limit", False)
            await until(lambda: last in one.ledger.begun(), "the last one at work")
            one.release.touch()
            assert {summary.status for summary in await one.log.ended(holds, new, last)} == {"completed"}
            await nothing_held(one)

    run(test())


def test_a_noisy_tenant_does_not_keep_another_waiting_and_priority_goes_first(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        settings = {"concurrency": {"max": 2}, "fairness": "${trigger.payload.key}", "priority": "${trigger.payload.urgent}"}
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(limited("orders", settings))
            limit = "=flow:orders:"
            noisy = [await one.send("orders", n, "noisy", held=True, urgent=0) for n in range(200)]
            await until(lambda: one.waiting(limit) == 198, "the others in line")
            quiet = [await one.send("orders", n, "quiet", held=True, urgent=0) for n in range(5)]
            await until(lambda: one.waiting(limit) == 203, "the quiet ones in line")
            urgent = await one.send("orders", 0, "urgent", held=True, urgent="7")
            await until(lambda: one.waiting(limit) == 204, "the urgent one in line")
            one.release.touch()
            await one.log.ended(*quiet, urgent, *noisy)
            keys = one.ledger.keys_begun()
            assert keys[2] == "urgent"
            assert keys[:20].count("quiet") == 5, f"all within the first twenty: {keys[:20]}"
            assert max(one.ledger.most().values()) <= 2
            await nothing_held(one)

    run(test())


def test_a_rate_lets_no_more_begin_than_it_says(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(limited("orders", {"rate": {"max": 20, "per": "1s", "burst": 4}}))
            runs = [await one.send("orders", n) for n in range(14)]
            await one.log.ended(*runs)
            turns = sorted(grant.not_before for each in runs for grant in one.log.of(each, SlotGranted))
            assert len(turns) == 14
            later = [turn for turn in turns if turn]
            assert all(second - first >= 50 for first, second in pairwise(later)), "beyond the burst, fifty milliseconds apart"
            fired = {each: one.log.of(each, TimerFired)[0].at for each in runs if one.log.of(each, TimerFired)}
            assert sorted(fired.values()) >= later
            assert len(fired) == len(later) >= 5, "nobody begins before its turn"
            await until(lambda: not any(gate.entries for gate in one.gates().values()), "only the bucket is left, until it is full")

    run(test())


def test_a_slot_that_nobody_holds_is_found_by_the_audit_where_somebody_waits(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(limited("orders", {"concurrency": {"max": 1}}))
            limit = "=flow:orders:"
            partition = subjects.partition_of(limit, one.client.partitions)
            await one.client.connection.publisher.publish(
                subjects.wal(partition), encode_batch([SlotWanted(limit, 1, "nobody", (3,), 1, 1)])
            )
            await until(lambda: one.held(limit) == 1 or not one.gates(), "asked")
            await one.fleet.quiet()
            assert one.held(limit) == 0, "who does not exist gives back at once"

            holder = await one.send("orders", 0, held=True)
            await until(lambda: one.ledger.inside() == 1, "at work")
            waiting = await one.send("orders", 1)
            await until(lambda: one.waiting(limit) == 1, "in line")
            owner = next(owner for each in one.fleet.coordinators for owner in each.owners.values() if owner.number == partition)
            assert owner.partition is not None
            assert await audit(one.client.connection, owner.partition, one.fleet.coordinators[0]) == 0, "who needs its slot keeps it"
            one.release.touch()
            await one.log.ended(holder, waiting)
            await nothing_held(one)

    run(test())
