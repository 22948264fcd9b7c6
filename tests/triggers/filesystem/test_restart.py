"""What a source remembers from one life to the next, and what it brings again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jetfleet.broker.triggers.firing import Firing
from jetfleet.broker.triggers.source import SourceBroken
from jetfleet.triggers.filesystem.entry import Entry, Mark
from jetfleet.triggers.filesystem.happening import Happening
from jetfleet.triggers.filesystem.memory import Memory

from ...fleet.running import run
from ...fleet.trouble import until
from .watched import STORED, Watched, watched

FAR_NS = 13_569_465_600_000_000_000
"""In the year 2400."""


def keys(one: Watched) -> set[str]:
    return {firing.key for firing in one.firings}


def test_what_came_meanwhile_fires_and_nothing_else_does(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as first:
            for name in ("same", "changes", "goes", "moves"):
                first.write(f"{name}.csv")
            await first.fired(4)
        first.write("changes.csv", "other")
        (first.folder / "goes.csv").unlink()
        (first.folder / "moves.csv").rename(first.folder / "moved.csv")
        first.write("new.csv")
        async with watched(tmp_path) as second:
            await second.fired(4)
            await second.nothing_more()
            assert sorted(second.events) == [
                ("create", "new.csv"), ("modify", "changes.csv"), ("remove", "goes.csv"), ("rename", "moved.csv"),
            ]  # fmt: skip
        async with watched(tmp_path) as third:
            await third.nothing_more()

    run(test())


def test_what_was_not_confirmed_comes_again_under_the_same_keys(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, confirms=lambda firing: STORED if firing.payload["name"] == "1.csv" else None) as first:
            for number in range(3):
                first.write(f"{number}.csv")
            await first.fired(3)
        async with watched(tmp_path) as second:
            assert {payload["name"] for payload in await second.fired(2)} == {"0.csv", "2.csv"}
            assert keys(second) < keys(first)

    run(test())


def test_a_file_that_changes_before_it_is_confirmed_fires_again_with_another_key(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, confirms=lambda _: None) as one:
            one.write("a.csv", "1")
            await one.fired(1)
            one.write("a.csv", "other")
            await one.nothing_more()
            one.source.confirm(one.firings[0], STORED)
            (payload,) = await one.fired(1)
            assert (payload["event"], payload["size"]) == ("modify", 5)
            assert len(keys(one)) == 2

    run(test())


def test_what_is_there_at_the_first_start_may_be_left_out(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "old.csv").write_text("old")
        async with watched(tmp_path, initial="ignore") as one:
            await one.nothing_more()
            one.write("new.csv")
            await one.fired(1)
            one.write("old.csv", "newer")
            (payload,) = await one.fired(1)
            assert (payload["event"], payload["name"]) == ("modify", "old.csv")
        (one.folder / "meanwhile.csv").write_text("x")
        async with watched(tmp_path, initial="ignore") as again:
            assert [payload["name"] for payload in await again.fired(1)] == ["meanwhile.csv"]

    run(test())


def test_who_has_forgotten_and_who_watches_elsewhere_fire_under_the_same_keys(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one, watched(tmp_path, data="other") as other:
            one.write("a.csv", "1")
            await one.fired(1)
            await other.fired(1)
            one.write("a.csv", "other")
            await one.fired(1)
            await other.fired(1)
            assert keys(one) == keys(other)
        async with watched(tmp_path, data="forgotten") as forgotten:
            (payload,) = await forgotten.fired(1)
            assert payload["event"] == "create"
            assert keys(forgotten) < keys(one), "that it was there before is not in the key"

    run(test())


def test_a_trigger_with_other_params_goes_on_with_what_it_knew(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, patterns="*.csv") as one:
            one.write("a.csv")
            await one.fired(1)
        one.write("b.txt")
        async with watched(tmp_path, settle_ms=20) as other:
            assert [payload["name"] for payload in await other.fired(1)] == ["b.txt"], "what did not count before is new"
        one.write("c.csv")
        async with watched(tmp_path, patterns="*.csv") as again:
            assert [payload["name"] for payload in await again.fired(1)] == ["c.csv"]
            (one.folder / "b.txt").unlink()
            await again.nothing_more()
        async with watched(tmp_path, trigger="another") as another:
            await another.fired(2)

    run(test())


def test_the_same_path_may_be_another_folder_by_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        for place in ("here", "there"):
            (tmp_path / place / "in").mkdir(parents=True)
            (tmp_path / place / "in" / "a.csv").write_text(place)
        for place, count in (("here", 1), ("there", 1), ("here", 0)):
            monkeypatch.chdir(tmp_path / place)
            folder = tmp_path / place / "in"
            async with watched(tmp_path, paths=["in"]) as one:
                assert one.source.status().startswith(f"watches {folder}")
                assert [payload["path"] for payload in await one.fired(count)] == [str(folder / "a.csv")] * count
                await one.nothing_more()

    run(test())


def test_what_a_memory_took_over_of_another_folder_is_nobodys_business(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, on_success="move", processed="done") as one:
            done = one.folder / "done"
            done.rmdir()
            done.write_text("in the way")
            one.write("stuck.csv")
            await one.fired(1)
            await until(lambda: "cannot be moved" in one.source.status(), "a file that is stuck")
        (tmp_path / "other").mkdir()
        async with watched(tmp_path, paths=[str(tmp_path / "other")], on_success="move", processed="done") as other:
            (tmp_path / "other" / "a.csv").write_text("x")
            assert [payload["name"] for payload in await other.fired(1)] == ["a.csv"]

    run(test())


@pytest.mark.parametrize("odd", [Mark(13_569_465_600_000_000_000, 1, 2**64 - 1), Mark(-(2**70), 0, 2**63), Mark(2**63 - 1, 1, 1)])
def test_a_mark_that_no_usual_file_has_is_remembered_as_it_is(odd: Mark, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "files.db")
    usual = Entry("/in/usual", Mark(1, 1, 1))
    memory.change([(Entry("/in/odd", odd), "move"), (usual, "")])
    assert memory.known(["/in/odd", "/in/usual"]) == {"/in/odd": odd, "/in/usual": usual.mark}
    assert memory.of_marks([odd])[odd] == ["/in/odd"]
    assert memory.to_do("", 10) == [(Entry("/in/odd", odd), "move")] and memory.after("", 10) == [usual]
    other = Memory(tmp_path / "other.db")
    other.take_over(memory.file)
    assert other.known(["/in/odd"]) == {"/in/odd": odd}
    for each in (memory, other):
        each.close()


def test_a_file_from_the_far_future_fires_once_and_harms_no_other_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, on_success="delete") as one:
            (one.folder / ".far").write_text("x")
            os.utime(one.folder / ".far", ns=(FAR_NS, FAR_NS))
            if (one.folder / ".far").stat().st_mtime_ns != FAR_NS:
                pytest.skip("this file system has no such times")
            (one.folder / ".far").rename(one.folder / "far.csv")
            one.write("good.csv")
            await one.fired(2)
            await until(lambda: not list(one.folder.iterdir()), "an empty folder")
            await one.nothing_more()

    run(test())


def test_what_cannot_be_remembered_at_all_takes_nothing_with_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, on_success="delete", confirms=lambda _: None) as one:
            for number in range(3):
                one.write(f"{number}.csv")
            await one.fired(3)
            odd = Firing("odd", token=Happening("create", Entry("/no text of a path: \ud800", Mark(1, 1, 1))))
            for firing in (one.firings[0], odd, *one.firings[1:]):
                one.source.confirm(firing, STORED)
            await until(lambda: not list(one.folder.iterdir()), "an empty folder")
            one.write("later.csv")
            await one.fired(1)

    run(test())


def test_two_sources_may_share_a_memory(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one, watched(tmp_path) as other:
            for number in range(50):
                one.write(f"{number}.csv")
            await until(lambda: len(one.firings) + len(other.firings) >= 50, "firings")
            await one.quiet()
            await other.quiet()
            assert len(keys(one) | keys(other)) == 50

    run(test())


def test_a_memory_that_is_none_is_said_to_be_broken(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one:
            one.write("a.csv")
            await one.fired(1)
        (file,) = (tmp_path / "data" / "filesystem").glob("*.db")
        with without_its_log(file):
            file.write_bytes(b"no database at all, but long enough to be looked at as one" * 100)
        async with watched(tmp_path) as again:
            with pytest.raises(SourceBroken, match="Remove it"):
                await again.fired(1)

    run(test())


@contextmanager
def without_its_log(file: Path) -> Iterator[None]:
    yield
    for other in file.parent.glob("*.db-*"):
        other.unlink()
