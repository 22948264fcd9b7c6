"""What happens to files in a watched folder, and what is fired for it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ...fleet.running import run
from ...fleet.trouble import until
from .watched import watched

MODES = pytest.mark.parametrize("mode", [{"watch": "native"}, {"watch": "poll", "poll_ms": 40}], ids=["native", "poll"])


@MODES
def test_a_file_is_created_modified_renamed_and_removed(mode: dict[str, Any], tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **mode) as one:
            path = one.write("a.csv", "1")
            status = path.stat()
            (created,) = await one.fired(1)
            assert created | {"modified_at": ""} == {
                "path": str(path), "name": "a.csv", "event": "create", "size": 1, "modified_at": "", "inode": status.st_ino,
            }  # fmt: skip
            path.write_text("longer")
            (modified,) = await one.fired(1)
            assert (modified["event"], modified["size"]) == ("modify", 6)
            path.rename(one.folder / "b.csv")
            (renamed,) = await one.fired(1)
            assert (renamed["event"], renamed["name"], renamed["old_path"]) == ("rename", "b.csv", str(path))
            (one.folder / "b.csv").unlink()
            (removed,) = await one.fired(1)
            assert (removed["event"], removed["name"], removed["size"]) == ("remove", "b.csv", 6)
            await one.nothing_more()
            assert len({firing.key for firing in one.firings}) == 4

    run(test())


@MODES
def test_a_thousand_files_at_once_fire_once_each(mode: dict[str, Any], tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **mode) as one:
            for number in range(1_000):
                one.write(f"{number}.csv")
            payloads = await one.fired(1_000)
            assert {payload["name"] for payload in payloads} == {f"{number}.csv" for number in range(1_000)}
            await one.nothing_more()

    run(test())


def test_a_file_that_is_written_slowly_fires_once_when_it_is_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, settle_ms=250) as one:
            with (one.folder / "slow.csv").open("w") as file:
                for _ in range(20):
                    file.write("line\n")
                    file.flush()
                    await asyncio.sleep(0.03)
                    assert not one.firings
            (payload,) = await one.fired(1)
            assert (payload["event"], payload["size"]) == ("create", 100)
            await one.nothing_more()

    run(test())


def test_a_file_that_never_comes_to_rest_fires_after_the_longest_wait(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, settle_ms=200, max_wait_ms=400) as one:
            with (one.folder / "log.csv").open("w") as file:
                while not one.firings:
                    file.write("line\n")
                    file.flush()
                    await asyncio.sleep(0.02)
            assert one.events[0] == ("create", "log.csv")

    run(test())


def test_what_is_in_folders_counts_only_if_it_is_wanted(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, recursive=True) as deep, watched(tmp_path, data="flat") as flat:
            flat.write("sub/below/a.csv")
            flat.write("b.csv")
            assert {payload["name"] for payload in await deep.fired(2)} == {"a.csv", "b.csv"}
            assert [payload["name"] for payload in await flat.fired(1)] == ["b.csv"]
            (tmp_path / "elsewhere" / "one").mkdir(parents=True)
            (tmp_path / "elsewhere" / "one" / "c.csv").write_text("3")
            (tmp_path / "elsewhere").rename(deep.folder / "came")
            assert [payload["path"] for payload in await deep.fired(1)] == [str(deep.folder / "came" / "one" / "c.csv")]
            (deep.folder / "came").rename(deep.folder / "called")
            assert [payload["event"] for payload in await deep.fired(1)] == ["rename"]
            (deep.folder / "called" / "one" / "d.csv").write_text("4")
            assert [payload["path"] for payload in await deep.fired(1)] == [str(deep.folder / "called" / "one" / "d.csv")]
            shutil.rmtree(deep.folder / "called")
            assert [payload["event"] for payload in await deep.fired(2)] == ["remove", "remove"]
            await flat.nothing_more()

    run(test())


def test_hidden_and_half_written_files_do_not_count_unless_they_are_wanted(tmp_path: Path) -> None:
    names = [".hidden", "a.swp", "a.tmp", "a.part", "a.csv~", "a.csv"]

    async def test() -> None:
        async with watched(tmp_path) as usual, watched(tmp_path, hidden=True, data="all") as all:
            for name in names:
                (usual.folder / name).write_text("x")
            assert [payload["name"] for payload in await usual.fired(1)] == ["a.csv"]
            assert {payload["name"] for payload in await all.fired(len(names))} == set(names)
            (usual.folder / "a.part").rename(usual.folder / "whole.csv")
            (payload,) = await usual.fired(1)
            assert (payload["event"], payload["name"]) == ("create", "whole.csv")

    run(test())


def test_patterns_say_what_counts(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, recursive=True, patterns=["*.csv", "deep/*.txt"], ignore=["no*", "skip"]) as one:
            for name in ("a.csv", "a.txt", "no.csv", "deep/b.txt", "skip/c.csv", "other/d.txt"):
                one.write(name)
            assert {payload["name"] for payload in await one.fired(2)} == {"a.csv", "b.txt"}
            await one.nothing_more()

    run(test())


def test_only_wanted_changes_fire(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, events=["created", "deleted"]) as one:
            path = one.write("a.csv")
            await one.fired(1)
            path.write_text("longer")
            await one.nothing_more()
            path.rename(one.folder / "b.csv")
            assert sorted((payload["event"], payload["name"]) for payload in await one.fired(2)) == [
                ("create", "b.csv"),
                ("remove", "a.csv"),
            ]

    run(test())


def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    names = [b"new\nline.csv", "größer – 数.csv".encode(), b"not utf-8 \xff\xfe.csv", b" ", b"a'\"\\$(x).csv", b"x" * 250]

    async def test() -> None:
        async with watched(tmp_path) as one:
            for name in names:
                one.write(name)
            payloads = await one.fired(len(names))
            raw = {payload.get("path_bytes", payload["path"].encode()) for payload in payloads}
            assert raw == {os.fsencode(one.folder) + b"/" + name for name in names}
            assert all(firing.key.isascii() and firing.key.isprintable() for firing in one.firings)
            await one.nothing_more()

    run(test())


def test_one_file_is_watched_by_its_path(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "only.csv").write_text("1")
        async with watched(tmp_path, paths=[str(tmp_path / "in" / "only.csv")]) as one:
            await one.fired(1)
            one.write("other.csv")
            one.write("only.csv", "new")
            (payload,) = await one.fired(1)
            assert (payload["event"], payload["name"]) == ("modify", "only.csv")

    run(test())


def test_more_changes_than_the_system_tells_of_are_found_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one:
            a, b = (os.open(one.folder / name, os.O_WRONLY | os.O_CREAT) for name in ("a.tmp", "b.tmp"))
            for _ in range(9_000):  # nobody takes what the system tells meanwhile, and it keeps no more than some 16,000
                os.utime(a)
                os.utime(b)
            os.close(a)
            os.close(b)
            one.write("last.csv")
            assert [payload["name"] for payload in await one.fired(1)] == ["last.csv"]

    run(test())


def test_what_changes_during_a_pause_is_found_after_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one:
            one.source.pause()
            await asyncio.sleep(0)
            one.write("a.csv")
            one.write("b.csv")
            await one.nothing_more()
            one.source.resume()
            await one.fired(2)

    run(test())


def test_a_folder_that_goes_away_is_no_folder_whose_files_were_removed(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one:
            one.write("a.csv")
            await one.fired(1)
            one.folder.rename(tmp_path / "away")
            await until(lambda: one.failed is not None, "a source that fails")
            assert "cannot be opened any more" in str(one.failed)
            (tmp_path / "away").rename(one.folder)
        async with watched(tmp_path) as again:
            await again.nothing_more()

    run(test())
