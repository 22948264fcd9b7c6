"""Files as runs of a fleet: each exactly one, with its content where the flow says. tests/triggers/kills has what dies in the middle."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import Client
from jetfleet.broker.api.values import Values
from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.payloads.run_states import FORGOTTEN_AFTER_S, RunStates
from jetfleet.schemas.flow.definition import Payloads
from jetfleet.schemas.payload import decode, refs_in
from jetfleet.schemas.records import RunStarted
from jetfleet.schemas.subjects import run_id
from jetfleet.triggers import Triggers

from ...fleet.fleets import NODES, Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from ...fleet.worker_processes import worker
from ..letters import kept_in

FILE_NODES = str(Path(__file__).with_name("file_nodes.py"))
LARGE_BYTES = 3 << 20


def flow(folder: Path, node: dict[str, Any] | None = None, payloads: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    trigger = {"id": "in", "type": "filesystem", "params": {"path": str(folder), "settle_ms": 50} | params}
    nodes = {"seen": node or {"type": "f.echo"}}
    return {"name": "files", "triggers": [trigger], "nodes": nodes, "edges": [{"from": "in", "to": "seen"}], "payloads": payloads or {}}


def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def started(one: Fleet) -> list[RunStarted]:
    return [records[0] for records in one.log.records.values() if records and isinstance(records[0], RunStarted)]


def moved(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.is_dir() else 0


def put(folder: Path, name: str, data: bytes = b"x") -> None:
    (folder / ".half").write_bytes(data)
    (folder / ".half").rename(folder / name)


def test_a_thousand_files_are_a_thousand_runs_and_are_moved(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder = inbox(tmp_path)
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(flow(folder, on_success="move", processed=str(tmp_path / "done")), nodes=[NODES])
            async with Triggers(one.client, types=("filesystem",), data=tmp_path) as triggers:
                for number in range(1_000):
                    put(folder, f"{number}.csv")
                await until(lambda: moved(tmp_path / "done") == 1_000, "moved files", 40)
                (status,) = triggers.status()
                assert (status.fired, status.refused, status.state) == (1_000, 0, "listening")
            await one.log.until(lambda: len(started(one)) >= 1_000, "runs", 40)
            await one.quiet()
            names = Counter(decode(record.payload)["name"] for record in started(one))
            assert names == Counter({f"{number}.csv": 1 for number in range(1_000)})
            assert decode(started(one)[0].meta)["event"] == "create"

    run(test(), 60)


def test_what_no_flow_can_use_is_a_dead_letter_and_moved_aside(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder = inbox(tmp_path)
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(flow(folder, content="json", failed="bad"), nodes=[NODES])
            async with Triggers(one.client, types=("filesystem",), data=tmp_path):
                put(folder, "bad\n\udcff.json", b"{no json")
                put(folder, "good.json", b'{"n": 1}')
                await one.log.until(lambda: bool(one.log.letters), "a dead letter")
                await one.log.until(lambda: bool(started(one)), "a run")
                await until(lambda: moved(folder / "bad") == 1, "a file moved aside")
                (letter,) = one.log.letters
                kept, meta = kept_in(letter)
                assert letter.code == "FILE_UNREADABLE" and kept["path_bytes"].endswith(b"bad\n\xff.json")
                assert [decode(record.payload)["content"] for record in started(one)] == [{"n": 1}]
                (found,) = await one.client.dead_letters()
                await one.client.redrive(found.seq)
                await one.log.until(lambda: len(started(one)) == 2, "a run without content")
                (again,) = [record for record in started(one) if decode(record.payload) == kept]
                assert decode(again.meta) == meta and meta["event"] == "create" and "content" not in kept

    run(test())


def test_a_letter_about_a_file_by_reference_keeps_everything_but_the_file(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder = inbox(tmp_path)
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            strict = flow(folder, content="reference") | {"inputs": {"type": "object", "required": ["customer"]}}
            await one.client.deploy(strict, nodes=[NODES])
            async with Triggers(one.client, types=("filesystem",), data=tmp_path):
                put(folder, "a.csv")
                await one.log.until(lambda: bool(one.log.letters), "a dead letter")
                kept, _ = kept_in(one.log.letters[0])
                assert (kept["name"], kept["size"]) == ("a.csv", 1) and "content" not in kept

    run(test())


def test_what_fired_for_a_flow_that_came_later_does_not_fire_again_when_its_params_change(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder = inbox(tmp_path)
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(flow(folder), nodes=[NODES])
            async with Triggers(one.client, types=("filesystem",), data=tmp_path) as triggers:
                put(folder, "first.csv")
                await one.log.until(lambda: len(started(one)) == 1, "a run")
                await one.client.deploy(flow(folder) | {"name": "later"}, nodes=[NODES])
                await triggers.source("later", "in")
                put(folder, "both.csv")
                await one.log.until(lambda: len(started(one)) == 3, "a run of each flow")
                await one.client.deploy(flow(folder, settle_ms=60) | {"name": "later"}, nodes=[NODES])
                await triggers.source("later", "in")
                put(folder, "last.csv")
                await one.log.until(lambda: len(started(one)) == 5, "a run of each flow")
                await one.quiet()
                fired = Counter((record.flow, decode(record.payload)["name"]) for record in started(one))
                expected = [
                    ("files", "first.csv"),
                    ("files", "both.csv"),
                    ("later", "both.csv"),
                    ("files", "last.csv"),
                    ("later", "last.csv"),
                ]
                assert fired == Counter(expected)
                assert {each.flow: each.fired for each in triggers.status()} == {"files": 3, "later": 1}

    run(test())


@pytest.mark.parametrize(("durability", "place"), [("host", "arena"), ("object-store", "objects")])
def test_a_large_file_reaches_its_node_by_reference(durability: str, place: str, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder, data = inbox(tmp_path), os.urandom(LARGE_BYTES)
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            node, payloads = {"type": "files.digest"}, {"durability": durability}
            await one.client.deploy(flow(folder, node, payloads, content="reference"), nodes=[FILE_NODES])
            async with (
                worker(fresh_url, tmp_path / "worker", nodes=FILE_NODES),
                await Client.connect(fresh_url, arena=tmp_path / "worker" / "arena") as client,
                Triggers(client, types=("filesystem",), data=tmp_path),
            ):
                put(folder, "large.bin", data)
                await one.log.until(lambda: bool(started(one)), "a run")
                (record,) = started(one)
                (ref,) = refs_in(record.payload)
                assert (ref.codec, ref.length, ref.run) == ("file", LARGE_BYTES, record.run)
                assert (bool(ref.host), bool(ref.digest)) == (place == "arena", place == "objects")
                result = await (await client.handle(record.run)).result()
                assert result.output == {"name": "large.bin", "digest": hashlib.sha256(data).hexdigest()}

    run(test())


def test_a_file_that_finds_no_room_in_the_arena_goes_into_the_object_store(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        folder = inbox(tmp_path)
        settings = ArenaSettings(tmp_path / "arena")
        Arena.open(settings).close()
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(flow(folder, content="reference"), nodes=[NODES])
            (tmp_path / "arena").chmod(0o777)  # nobody may use one that is open to others
            async with (
                await Client.connect(fresh_url, arena=settings.folder) as client,
                Triggers(client, types=("filesystem",), data=tmp_path),
            ):
                put(folder, "large.bin", os.urandom(LARGE_BYTES))
                await one.log.until(lambda: bool(started(one)), "a run")
                (ref,) = refs_in(started(one)[0].payload)
                assert ref.digest and not ref.host

    run(test())


def test_a_value_in_the_arena_waits_for_its_run_and_goes_if_that_never_comes(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        settings, now_s = ArenaSettings(tmp_path / "arena", keep_s=0), [0.0]
        Arena.open(settings).close()
        async with fleet(fresh_url, tmp_path, workers=0) as one, await Client.connect(fresh_url, arena=settings.folder) as client:
            await client.deploy(flow(inbox(tmp_path)), nodes=[NODES])
            states = RunStates(client.connection, client.partitions, clock=lambda: now_s[0])
            keeper = Keeper(settings)
            assert keeper.acquire()

            async def runs_kept_at(moment_s: float) -> set[str]:
                now_s[0] = moment_s
                await keeper.sweep(states.over)
                return keeper.runs()

            begun = await client.send("files", {"content": os.urandom(LARGE_BYTES)}, id="begun")
            await one.log.until(lambda: bool(started(one)), "a run")
            await client.values.close()  # lets go of the segment, so that what comes lies in another one
            client.values = Values(client.connection, settings.folder)
            never = run_id("files", "never")
            await client.values.outgoing({"content": os.urandom(LARGE_BYTES)}, never, Payloads())
            await client.values.close()
            for moment_s in (0, FORGOTTEN_AFTER_S / 2, FORGOTTEN_AFTER_S - 1):
                assert await runs_kept_at(moment_s) == {begun, never}
            assert await runs_kept_at(FORGOTTEN_AFTER_S + 1) == {begun}
            keeper.release()

    run(test())
