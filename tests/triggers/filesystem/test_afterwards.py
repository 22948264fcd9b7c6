"""What becomes of files after their events are stored, or refused."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.triggers.source import SourceBroken
from jetfleet.schemas.flow.triggers.filesystem import FilesystemParams
from jetfleet.triggers.filesystem import move

from ...fleet.running import run
from ...fleet.trouble import until
from .watched import REFUSED, STORED, watched

MOVE = {"on_success": "move", "processed": "done", "recursive": True}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_done_is_moved_and_does_not_fire_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE) as one:
            for number in range(20):
                one.write(f"{number}.csv")
            await one.fired(20)
            await until(lambda: len(names(one.folder / "done")) == 20, "moved files")
            await one.nothing_more()
            assert names(one.folder) == ["done"]
        async with watched(tmp_path, **MOVE) as again:
            await again.nothing_more()

    run(test())


@pytest.mark.parametrize("knows_renameat2", [True, False])
def test_no_file_that_was_moved_is_overwritten_by_another_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_renameat2: bool
) -> None:
    if not knows_renameat2:
        monkeypatch.setattr(move, "_renameat2", lambda: None)

    async def test() -> None:
        async with watched(tmp_path, **MOVE) as one:
            done = one.folder / "done"
            for number in range(3):
                one.write("a.csv", str(number))
                await one.fired(1)
                await until(lambda: len(names(done)) == number + 1, "a moved file")  # noqa: B023
            assert {path.name: path.read_text() for path in done.iterdir()} == {"a.csv": "0", "a.1.csv": "1", "a.2.csv": "2"}

    run(test())


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "ü" * 125 + ".csv", "x." + "y" * 253])
def test_of_a_name_as_long_as_the_system_allows_the_end_gives_way_to_the_number(name: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE) as one:
            done = one.folder / "done"
            for number in range(2):
                one.write("x.csv", str(number)).rename(one.folder / name)
                await one.fired(1)
                await until(lambda: len(names(done)) == number + 1, f"a moved file; {one.source.status()}")  # noqa: B023
            assert (done / name).read_text() == "0"

    run(test())


def test_a_file_system_that_does_not_say_how_long_a_name_may_be_gets_a_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a.csv").touch()
    monkeypatch.setattr("os.fpathconf", lambda folder, name: -1)
    folder, done = (os.open(path, os.O_RDONLY) for path in (tmp_path, tmp_path / "done"))
    move.move("a.csv", folder, done)
    assert sorted(os.listdir(done)) == ["a.1.csv", "a.csv"]
    os.close(folder)
    os.close(done)


def test_what_was_in_a_folder_below_is_moved_into_one_of_that_name(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE) as one:
            done = one.folder / "done"
            for name in ("a.csv", "x/a.csv", "x/y/a.csv"):
                one.write(name, name)
            await one.fired(3)
            await until(lambda: len(contents(done)) == 3, "moved files")
            one.write("x/a.csv", "again")
            await one.fired(1)
            await until(lambda: len(contents(done)) == 4, "a moved file")
            assert contents(done) == {"a.csv": "a.csv", "x/a.csv": "x/a.csv", "x/a.1.csv": "again", "x/y/a.csv": "x/y/a.csv"}
            await one.nothing_more()

    run(test())


def test_a_folder_below_that_is_a_link_leads_no_file_elsewhere(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "elsewhere").mkdir()
        async with watched(tmp_path, **MOVE) as one:
            (one.folder / "done" / "x").symlink_to(tmp_path / "elsewhere")
            one.write("x/a.csv")
            await one.fired(1)
            await until(lambda: "cannot be moved" in one.source.status(), "a file that is stuck")
            assert names(tmp_path / "elsewhere") == [] and names(one.folder / "x") == ["a.csv"]

    run(test())


def test_what_is_done_may_be_removed(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, on_success="delete") as one:
            one.write("a.csv")
            await one.fired(1)
            await until(lambda: not names(one.folder), "an empty folder")
            await one.nothing_more()

    run(test())


def test_what_is_refused_goes_to_the_folder_of_failed_ones_or_stays(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE, failed="bad", confirms=lambda f: REFUSED if f.payload["name"] == "bad.csv" else STORED) as one:
            one.write("bad.csv")
            one.write("good.csv")
            await one.fired(2)
            await until(lambda: names(one.folder / "bad") == ["bad.csv"] and names(one.folder / "done") == ["good.csv"], "moved files")
            await one.nothing_more()
        async with watched(tmp_path, data="other", on_success="delete", confirms=lambda _: REFUSED) as other:
            other.write("stays.csv")
            await other.fired(1)
            await other.nothing_more()
            assert "stays.csv" in names(other.folder)

    run(test())


def test_a_file_system_that_cannot_rename_without_replacing_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(move, "_renameat2", lambda: refuses)

    async def test() -> None:
        async with watched(tmp_path, **MOVE) as one:
            one.write("a.csv", "0")
            await one.fired(1)
            await until(lambda: names(one.folder) == ["done"], "a moved file")
            assert names(one.folder / "done") == ["a.csv"]

    run(test())


def test_a_file_that_changed_before_it_was_moved_stays_and_fires_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE, confirms=lambda _: None) as one:
            one.write("a.csv", "1")
            await one.fired(1)
            one.write("a.csv", "other")
            one.source.confirm(one.firings[0], STORED)
            (payload,) = await one.fired(1)
            assert payload["event"] == "modify" and names(one.folder / "done") == []
            one.source.confirm(one.firings[1], STORED)
            await until(lambda: names(one.folder / "done") == ["a.csv"], "a moved file")
            assert (one.folder / "done" / "a.csv").read_text() == "other"

    run(test())


def test_what_cannot_be_moved_is_said_and_moved_when_that_is_possible(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, **MOVE, watch="poll", poll_ms=40) as one:
            done = one.folder / "done"
            done.rmdir()
            done.write_text("in the way")
            one.write("a.csv")
            await one.fired(1)
            await until(lambda: "cannot be moved" in one.source.status(), "a file that is stuck")
            one.write("a.csv", "another version")
            await one.fired(1)
            assert one.source.status().endswith("files that are done and cannot be moved or removed: 1")
            done.unlink()
            done.mkdir()
            await until(lambda: names(done) == ["a.csv"], "a moved file")
            await one.nothing_more()

    run(test())


@pytest.mark.parametrize("processed", ["/etc/jetfleet", "../out/../../etc", "."])
def test_files_are_moved_to_no_folder_that_is_not_allowed(processed: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, on_success="move", processed=processed) as one:
            with pytest.raises(SourceBroken):
                await one.fired(1)

    run(test())


@pytest.mark.parametrize("params", [{"on_success": "move"}, {"processed": "done"}, {"on_success": "delete", "processed": "done"}])
def test_moving_needs_a_folder_and_only_moving_does(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="processed"):
        FilesystemParams.model_validate({"path": "/data"} | params)
