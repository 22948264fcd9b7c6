"""What happens to the arena's files between producer and consumer: never a result made of wrong bytes, never a dead worker.

The consumers are held back by a gate until the damage is done. One half of them is executed by the process that made the value, the other
half by another one of the same host; values up to 1 MiB are checked before the node gets them, larger ones beside its work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.layout import head_bytes
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.codecs.registry import codec_named
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import Completion
from jetfleet.schemas.ref import Ref

from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until
from .bulk_nodes import PARTS, bulk, checksum
from .hosts import MIB, deploy, executions, host, is_right, made, patched, produced_and_summed, segment_of, start

SMALL, LARGE = 200_000, 3 * MIB
Damage = Callable[[Path, Ref], Any]


def delete(segment: Path, ref: Ref) -> None:
    segment.unlink(missing_ok=True)


def cut_off(segment: Path, ref: Ref) -> None:
    os.truncate(segment, min(ref.offset + 100, segment.stat().st_size))


def cut_off_by_a_page(segment: Path, ref: Ref) -> None:
    os.truncate(segment, segment.stat().st_size - 4096)


def empty(segment: Path, ref: Ref) -> None:
    os.truncate(segment, 0)


def flip_a_bit(segment: Path, ref: Ref) -> None:
    patched(segment, ref.offset + ref.length // 2, lambda byte: byte ^ 0x10)


def flip_a_bit_of_the_header(segment: Path, ref: Ref) -> None:
    patched(segment, ref.offset - head_bytes(ref.run.encode(), ref.meta) + 17, lambda byte: byte ^ 1)


def overwrite_the_first_bytes(segment: Path, ref: Ref) -> None:
    patched(segment, 0, lambda byte: 0)


def use_again(segment: Path, ref: Ref) -> None:
    patched(segment, 8, lambda byte: ref.generation + 1)


def change_the_owner(segment: Path, ref: Ref) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(segment, 12_345, 12_345)


def open_to_others(segment: Path, ref: Ref) -> None:
    segment.chmod(0o666)


def replace_by_a_link(segment: Path, ref: Ref) -> None:
    if not segment.is_symlink():
        aside = segment.with_suffix(".aside")
        segment.rename(aside)
        segment.symlink_to(aside)


DAMAGES: list[Damage] = [
    delete, cut_off, cut_off_by_a_page, empty, flip_a_bit, flip_a_bit_of_the_header, overwrite_the_first_bytes, use_again, change_the_owner,
    open_to_others, replace_by_a_link,
]  # fmt: skip


def gated(name: str, make: str, queue: str) -> dict[str, Any]:
    """make and gate, and behind both of them a consumer on that queue."""
    nodes = {"make": {"type": make, "queue": "a"}, "gate": {"type": "bulk.gate", "queue": "a"}, "sum": {"type": "bulk.sum", "queue": queue}}
    return flow(name, nodes, ["make -> sum", "gate -> sum"]) | {
        "edges": [{"from": "go", "to": "make"}, {"from": "go", "to": "gate"}, {"from": "make", "to": "sum"}, {"from": "gate", "to": "sum"}]
    }


def sums(one: Fleet, id: str) -> list[int]:
    """What the consumer of a run that has ended put out."""
    ends = [record for record in one.log.journal(id) if isinstance(record, Completion) and record.activation == (2,)]
    return [decode(record.output)["sum"] for record in ends if record.error is None]


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_damaged_values_are_made_again_or_fail_the_run(fresh_url: str, tmp_path: Path, damage: Damage) -> None:
    async def test() -> None:
        arena, gate = tmp_path / "a" / "arena", tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            for queue in ("a", "b"):
                await deploy(one, gated(f"again-{queue}", "bulk.make", queue), gated(f"once-{queue}", "bulk.make_once", queue))
            with host(fresh_url, tmp_path / "a", "a") as producer, host(fresh_url, tmp_path / "b", "b", arena=arena) as neighbour:
                runs = {
                    (name, queue, length): await start(one, f"{name}-{queue}", length=length, seed=place, gate=str(gate), key=f"{length}")
                    for place, (name, queue, length) in enumerate(
                        [(name, queue, length) for name in ("again", "once") for queue in ("a", "b") for length in (SMALL, LARGE)]
                    )
                }
                refs = [await made(one, id) for id in runs.values()]
                for ref in refs:
                    damage(segment_of(arena, ref), ref)
                gate.touch()
                summaries = dict(zip(runs, await one.log.ended(*runs.values(), deadline_s=50), strict=True))
                for place, ((name, _, length), summary) in enumerate(zip(runs, summaries.values(), strict=True)):
                    if name == "again":
                        assert summary.status == "completed", summary.error
                        assert sums(one, runs[list(runs)[place]]) == [checksum(bulk("float64", length, place))]
                    else:
                        assert summary.error is not None and (summary.status, summary.error.type) == ("failed", "payload_lost")
                        assert "idempotent=True" in summary.error.message
                        assert sums(one, runs[list(runs)[place]]) == []
                assert producer.alive and neighbour.alive
                assert executions(one, "made") == 12

    run(test(), 90)


def test_a_file_that_is_cut_off_under_a_view_costs_a_worker_and_no_run(fresh_url: str, tmp_path: Path) -> None:
    """Nobody can keep who looks at memory from dying when it is taken away. It counts as any death of a worker."""

    async def test() -> None:
        arena, gate = tmp_path / "a" / "arena", tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(end="bulk.hold"))
            with host(fresh_url, tmp_path / "a", "a"), host(fresh_url, tmp_path / "b", "b", arena=arena) as reader:
                id = await start(one, length=LARGE, seed=4, gate=str(gate))
                ref = await made(one, id)
                await until(lambda: executions(one, "held") == 1, "the node holds its view")
                cut_off(segment_of(arena, ref), ref)
                gate.touch()
                await until(lambda: not reader.alive, "it is dead")
                with host(fresh_url, tmp_path / "c", "b", arena=arena):
                    (summary,) = await one.log.ended(id, deadline_s=40)
            assert (summary.status, decode(summary.output)) == ("completed", checksum(bulk("float64", LARGE, 4))), summary.error
            assert executions(one, "made") == 2

    run(test(), 90)


@pytest.mark.parametrize("damage", [delete, flip_a_bit], ids=["deleted", "one bit flipped"])
def test_what_is_in_the_object_store_too_is_fetched_from_there(fresh_url: str, tmp_path: Path, damage: Damage) -> None:
    async def test() -> None:
        arena = tmp_path / "a" / "arena"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_once", payloads={"durability": "object-store"}))
            with host(fresh_url, tmp_path / "a", "a"):
                lengths = (SMALL, LARGE)
                runs = [await start(one, length=length, seed=3, key=str(length)) for length in lengths]
                for ref in [await made(one, id) for id in runs]:
                    damage(segment_of(arena, ref), ref)
                with host(fresh_url, tmp_path / "b", "b", arena=arena):
                    summaries = await one.log.ended(*runs, deadline_s=30)
            assert all(is_right(summary, length, seed=3) for summary, length in zip(summaries, lengths, strict=True))
            assert executions(one, "made") == 2

    run(test(), 60)


@pytest.mark.parametrize("end", ["bulk.sum_parts", "bulk.sum_parts_apart"], ids=["in a thread", "in a process"])
def test_a_value_inside_of_a_damaged_or_far_one_is_checked_too(fresh_url: str, tmp_path: Path, end: str) -> None:
    async def test() -> None:
        arena, length = tmp_path / "a" / "arena", 2 * MIB
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_parts", end=end, payloads={"inline_max": "1KiB"}))
            with host(fresh_url, tmp_path / "a", "a"):
                damaged, sound = await start(one, length=length), await start(one, length=length)
                ref, _ = await made(one, damaged), await made(one, sound)
                inner = list_items(arena, ref)[7]
                flip_a_bit(segment_of(arena, inner), inner)
                right = [checksum(bulk("float64", length, seed)) for seed in range(PARTS)]
                with host(fresh_url, tmp_path / "b", "b", arena=arena):
                    for summary in await one.log.ended(damaged, sound, deadline_s=30):
                        assert summary.status == "completed" and decode(summary.output) == right, summary.error
                assert [executions(one, "made", id) for id in (damaged, sound)] == [2, 1]
                far = await start(one, length=length)
                with host(fresh_url, tmp_path / "c", "b"):
                    (summary,) = await one.log.ended(far, deadline_s=40)
                    assert summary.status == "completed" and decode(summary.output) == right, summary.error

    run(test(), 90)


def test_a_table_whose_places_are_damaged_ends_no_worker(fresh_url: str, tmp_path: Path) -> None:
    """Its library follows the places that it finds, wherever they lead."""

    async def test() -> None:
        arena, rows = tmp_path / "a" / "arena", 200_000
        right = checksum("".join(f"row {number}" for number in range(rows)).encode())
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_table", end="bulk.read_table"))
            with host(fresh_url, tmp_path / "a", "a") as producer:
                runs = [await start(one, rows=rows, key=str(n)) for n in range(4)]
                for n, id in enumerate(runs):
                    ref = await made(one, id)
                    for place in range(1_000 + n, 200_000, 400):  # the places of the texts come first
                        patched(segment_of(arena, ref), ref.offset + place, lambda byte: byte ^ 0x40)
                with host(fresh_url, tmp_path / "b", "b", arena=arena) as reader:
                    for summary in await one.log.ended(*runs, deadline_s=40):
                        assert (summary.status, decode(summary.output)) == ("completed", right), summary.error
                    assert producer.alive and reader.alive
            assert executions(one, "made") == 8

    run(test(), 80)


def list_items(arena: Path, ref: Ref) -> list[Ref]:
    """The refs in a list that lies in the arena."""
    opened = Arena.open(ArenaSettings(arena))
    try:
        return codec_named("list").decode(opened.view(ref), ref.meta)  # type: ignore[no-any-return]
    finally:
        opened.close()
