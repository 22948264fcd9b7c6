"""Large values between hosts: they arrive, and when the host that has them is gone, what is specified happens, and is said."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from jetfleet.broker.cli.checks import arenas
from jetfleet.broker.cli.checkup import examine
from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import Completion

from ..fleet.conftest import ServerFactory
from ..fleet.fleets import Fleet, fleet
from ..fleet.running import run
from ..fleet.trouble import restarted, until
from .bulk_nodes import PARTS
from .hosts import MIB, completions, deploy, executions, host, is_right, made, produced_and_summed, segments, start, why

LENGTH = 3 * MIB
SOON_ASKED_AGAIN = {"jetfleet.broker.payloads.remote.ANSWER_S": 0.5}
"""Who asks a holder that has died meanwhile waits for its answer no longer than this, and a second."""
SOON_LOST = {"jetfleet.broker.payloads.remote.GIVE_UP_S": 2.0}
"""Instead of the time that a worker may need to be started again."""


def errors(one: Fleet, id: str) -> list[str]:
    return [record.error.type for record in one.log.of(id, Completion) if record.error is not None]


@pytest.mark.parametrize("kind", ["float64", "bytes"])
def test_a_value_arrives_on_another_host(fresh_url: str, tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed())
            with host(fresh_url, tmp_path / "a", "a"), host(fresh_url, tmp_path / "b", "b") as consumer:
                id = await start(one, length=16 * MIB, kind=kind, seed=7)
                (summary,) = await one.log.ended(id, deadline_s=40)
                assert is_right(summary, 16 * MIB, kind, 7)
                assert decode(summary.output)["pid"] == consumer.pid
                assert segments(tmp_path / "b" / "arena"), "the bytes came into the arena of the host that works with them"

    run(test(), 60)


def test_what_was_lost_with_its_host_is_made_again_or_the_run_says_what_to_do(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            durable = {"payloads": {"durability": "object-store"}}
            await deploy(
                one,
                produced_and_summed("again"),
                produced_and_summed("once", make="bulk.make_once"),
                produced_and_summed("stored", make="bulk.make_once", **durable),
                produced_and_summed(
                    "parts", make="bulk.make_parts", end="bulk.sum_parts", payloads=durable["payloads"] | {"inline_max": "1KiB"}
                ),
            )
            with host(fresh_url, tmp_path / "a", "a") as gone:
                again, once, stored = [await start(one, name, length=LENGTH) for name in ("again", "once", "stored")]
                parts = await start(one, "parts", length=80_000)
                for id in (again, once, stored, parts):
                    await made(one, id)
                gone.kill()
            shutil.rmtree(tmp_path / "a" / "arena")
            with host(fresh_url, tmp_path / "b", "b", constants=SOON_LOST):
                safe, safe_parts = await one.log.ended(stored, parts, deadline_s=40)
                assert is_right(safe, LENGTH) and (safe_parts.status, len(decode(safe_parts.output))) == ("completed", PARTS)
                (failed,) = await one.log.ended(once, deadline_s=40)
                assert failed.error is not None and (failed.status, failed.error.type) == ("failed", "payload_lost")
                assert "no process of host" in failed.error.message and "idempotent=True" in failed.error.message
                with host(fresh_url, tmp_path / "c", "a"):
                    (mended,) = await one.log.ended(again, deadline_s=40)
                    assert is_right(mended, LENGTH)
            assert [executions(one, "made", id) for id in (again, once, stored)] == [2, 1, 1]
            assert errors(one, again) == errors(one, once) == ["payload_lost"] and errors(one, stored) == []
            assert len(completions(one, again, 0)) == 2

    run(test(), 110)


def test_while_a_host_does_not_answer_one_can_see_what_a_run_waits_for(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_once"))
            with host(fresh_url, tmp_path / "a", "a") as gone:
                id = await start(one, length=LENGTH)
                ref = await made(one, id)
                gone.kill()
            with host(fresh_url, tmp_path / "b", "b"):
                said = await why(one, id, "payload")
                assert said == f"run waits for a payload of host {ref.host}, from which nobody answers"
                findings = [finding.says for finding in arenas(await examine(one.client, tmp_path)) if finding.grade == "bad"]
                assert len(findings) == 1 and ref.host in findings[0] and "start a worker with its arena" in findings[0]
                with host(fresh_url, tmp_path / "again", "a", arena=tmp_path / "a" / "arena"):
                    assert is_right((await one.log.ended(id, deadline_s=30))[0], LENGTH)
            assert executions(one, "made") == 1

    run(test(), 60)


@pytest.mark.parametrize("phase", ["upload", "download"])
def test_a_server_that_dies_on_the_way_delays_a_value_and_no_more(server_factory: ServerFactory, tmp_path: Path, phase: str) -> None:
    async def test() -> None:
        server, there = server_factory(), tmp_path / "b" / "arena"
        async with fleet(server.url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_once"))
            with host(server.url, tmp_path / "a", "a") as holder, host(server.url, tmp_path / "b", "b") as asker:
                id = await start(one, length=64 * MIB, seed=4)
                if phase == "upload":
                    await chunks_stored(one, 10)
                else:
                    await until(lambda: any(path.stat().st_size > 64 * MIB for path in segments(there)), "the download has begun", 60)
                await restarted(server)
                (summary,) = await one.log.ended(id, deadline_s=80)
                assert is_right(summary, 64 * MIB, seed=4)
                assert holder.alive and asker.alive
            assert executions(one, "made") == executions(one, "summed") == 1

    run(test(), 110)


def test_an_upload_whose_process_dies_is_finished_by_another_one_of_the_host(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_once"))
            with (
                host(fresh_url, tmp_path / "a", "a", constants=SOON_ASKED_AGAIN) as holder,
                host(fresh_url, tmp_path / "b", "b", constants=SOON_ASKED_AGAIN),
            ):
                id = await start(one, length=64 * MIB, seed=6)
                await chunks_stored(one, 10)
                holder.kill()
                with host(fresh_url, tmp_path / "other", "other", arena=tmp_path / "a" / "arena"):
                    (summary,) = await one.log.ended(id, deadline_s=40)
            assert is_right(summary, 64 * MIB, seed=6)
            assert executions(one, "made") == executions(one, "summed") == 1

    run(test(), 80)


async def chunks_stored(one: Fleet, count: int) -> None:
    while len(await one.client.connection.streams.subjects(subjects.OBJECTS, "object.chunk.>")) < count:
        await asyncio.sleep(0.01)
