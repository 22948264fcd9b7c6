"""The arena never grows above its limit, nor a run above its own; who finds no room is told at once, and nothing is half written."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from jetfleet.broker.arena import Arena, ArenaSettings, accounts, locks
from jetfleet.broker.arena.folder import ROOM_LOCK, ROOM_WANTED, Folder
from jetfleet.broker.arena.index import Index
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.broker.arena.room import ask_for_room, is_wanted
from jetfleet.broker.arena.settings import limits
from jetfleet.schemas.payload_errors import ArenaFull, ArenaUnusable, RunTooLarge
from jetfleet.schemas.ref import Ref

from .places import fill, process, segments

MIB = 1 << 20
Opener = Callable[[ArenaSettings], Arena]


def used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".seg", ".free", ".new"))


def write_until_full(arena: Arena, length: int, run: str = "") -> list[Ref]:
    refs = []
    with pytest.raises(ArenaFull):
        while True:
            refs.append(arena.write("bytes", [bytes([len(refs) % 256]) * length], run=run or f"run-{len(refs)}"))
    return refs


async def all_over(runs: set[str]) -> set[str]:
    return runs


def sweep(settings: ArenaSettings) -> None:
    keeper = Keeper(settings)
    assert keeper.acquire()
    asyncio.run(keeper.sweep(all_over))
    keeper.release()


@pytest.mark.parametrize("length", [10_000, 100_000, 3 * MIB])
def test_a_full_arena_says_so_and_keeps_what_it_has(arena: Arena, length: int) -> None:
    refs = write_until_full(arena, length)

    assert used(arena.settings.folder) <= 16 * MIB
    assert sum(ref.length for ref in refs) > 8 * MIB
    assert all(arena.view(ref) == bytes([number % 256]) * length for number, ref in enumerate(refs))
    assert segments(arena.settings.folder, ".new") == []


def test_who_holds_the_room_stands_in_the_error(arena: Arena) -> None:
    write_until_full(arena, MIB, "the-big-one")

    with pytest.raises(ArenaFull, match=r"the-big-one.*--arena-max"):
        arena.write("bytes", [bytes(2 * MIB)], run="r")
    assert arena.counters.waits_for_room == 2


def test_there_is_room_again_when_runs_have_ended(arena: Arena, settings: ArenaSettings) -> None:
    write_until_full(arena, MIB, "first")
    sweep(settings)

    assert len(write_until_full(arena, MIB, "second")) >= 7


def test_room_that_was_freed_serves_values_of_another_size(arena: Arena, settings: ArenaSettings) -> None:
    write_until_full(arena, 100_000, "small")
    sweep(settings)

    ref = arena.write("bytes", [b"x" * 12 * MIB], run="large")
    assert arena.view(ref) == b"x" * 12 * MIB
    assert used(settings.folder) <= 16 * MIB


def test_room_that_another_writer_freed_serves_as_well(settings: ArenaSettings, open_arena: Opener) -> None:
    first, second = open_arena(settings), open_arena(settings)
    write_until_full(first, MIB)
    sweep(settings)

    assert second.view(second.write("bytes", [b"x" * MIB], run="r")) == b"x" * MIB
    # The first finds that its segments were taken from it, and makes new ones.
    assert first.view(first.write("bytes", [b"y" * MIB], run="r")) == b"y" * MIB
    assert used(settings.folder) <= 16 * MIB


def test_a_run_above_its_limit_is_refused(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(replace(settings, run_max_bytes=3 * MIB))
    kept = arena.write("bytes", [bytes(2 * MIB)], run="greedy")

    with pytest.raises(RunTooLarge, match=r"greedy has 2.0 MiB .*--arena-run-max"):
        arena.write("bytes", [bytes(2 * MIB)], run="greedy")
    arena.write("bytes", [bytes(2 * MIB)], run="modest")
    assert arena.view(kept) == bytes(2 * MIB)


def test_a_value_that_never_fits_is_too_large_and_not_waited_for(arena: Arena) -> None:
    with pytest.raises(RunTooLarge):
        arena.write("bytes", [bytes(17 * MIB)], run="r")


def test_a_stream_that_the_whole_arena_has_no_room_for_is_too_large_and_not_waited_for(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(replace(settings, run_max_bytes=settings.max_bytes))
    with pytest.raises(RunTooLarge, match="--arena-max"):
        arena.stream("bytes", run="r", room_bytes=17 * MIB)
    with arena.stream("bytes", run="r") as writer:
        with pytest.raises(RunTooLarge, match="--arena-max"):
            for _ in range(17):
                writer.write(bytes(MIB))
        assert writer.length == 15 * MIB, "all that has room beside the headers"
        assert arena.view(writer.finish()) == bytes(15 * MIB)


def test_a_runs_limit_counts_what_other_processes_wrote(settings: ArenaSettings, open_arena: Opener) -> None:
    limited = replace(settings, run_max_bytes=3 * MIB)
    open_arena(limited).write("bytes", [bytes(2 * MIB)], run="r")

    with pytest.raises(RunTooLarge):
        open_arena(limited).write("bytes", [bytes(2 * MIB)], run="r")


def test_what_was_refused_or_given_up_does_not_count(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(replace(settings, run_max_bytes=3 * MIB))
    for _ in range(3):
        with arena.stream("bytes", run="r") as writer:
            writer.write(bytes(2 * MIB))
        with pytest.raises(RunTooLarge):
            arena.write("bytes", [bytes(4 * MIB)], run="r")

    arena.write("bytes", [bytes(3 * MIB)], run="r")


def test_a_stream_stops_at_its_runs_limit(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(replace(settings, run_max_bytes=3 * MIB))
    with arena.stream("bytes", run="r") as writer, pytest.raises(RunTooLarge):
        for _ in range(4):
            writer.write(bytes(MIB))

    assert writer.length == 3 * MIB


def test_streams_of_a_known_length_share_segments_and_leave_no_room_unused(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(replace(settings, max_bytes=512 * MIB, run_max_bytes=None, segment_bytes=16 * MIB))
    for n in range(12):
        with arena.stream("bytes", run=f"r{n}", room_bytes=4 * MIB) as writer:
            writer.write(bytes(4 * MIB))
            writer.finish()

    assert used(settings.folder) == 4 * 16 * MIB


def test_a_stream_that_finds_no_room_can_go_on_when_there_is_some(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(settings)
    writer, value = arena.stream("bytes", run="r"), os.urandom(6 * MIB)
    write_until_full(arena, MIB, "other")
    with pytest.raises(ArenaFull):
        writer.write(value)

    sweep(settings)
    writer.write(value)
    assert arena.view(writer.finish()) == value
    assert used(settings.folder) <= 16 * MIB


def test_a_full_file_system_is_a_full_arena(small_tmpfs: Path) -> None:
    settings = ArenaSettings(small_tmpfs / "arena", max_bytes=64 * MIB, run_max_bytes=64 * MIB, segment_bytes=MIB)
    arena = Arena.open(settings)
    refs = write_until_full(arena, 200_000)

    assert len(refs) >= 10
    assert all(arena.view(ref) == bytes([number]) * 200_000 for number, ref in enumerate(refs))
    with pytest.raises(ArenaFull, match="No space left"):
        arena.stream("bytes", run="r").write(bytes(8 * MIB))
    assert segments(settings.folder, ".new") == []
    arena.close()


def test_a_file_system_that_others_filled_leaves_the_arena_readable(small_tmpfs: Path) -> None:
    arena = Arena.open(ArenaSettings(small_tmpfs / "arena", max_bytes=3 * MIB, segment_bytes=MIB))
    ref = arena.write("bytes", [b"abc"], run="r")
    fill(small_tmpfs / "filler")

    assert arena.view(arena.write("bytes", [b"x" * 100_000], run="r")) == b"x" * 100_000  # its room is reserved
    with pytest.raises(ArenaFull):
        write_until_full(arena, MIB, "r")
        arena.write("bytes", [bytes(MIB)], run="r")
    assert arena.view(ref) == b"abc"
    arena.close()


REUSED_ON_A_FULL_DISK = """
import asyncio, os, sys
from pathlib import Path
from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.broker.arena.keeper import Keeper
sys.path.insert(0, sys.argv[2])
from places import fill
settings = ArenaSettings(Path(sys.argv[1]) / "arena", max_bytes=8 << 20, run_max_bytes=8 << 20, keep_s=0, segment_bytes=1 << 20)
arena, keeper = Arena.open(settings), Keeper(settings)
async def over(runs): return runs
first = arena.write("bytes", [os.urandom(500_000)], run="r")
os.sync()
fill(Path(sys.argv[1]) / "filler")
value = os.urandom(300_000)
assert arena.view(arena.write("bytes", [value], run="r")) == value
assert keeper.acquire() and asyncio.run(keeper.sweep(over)).freed == 1
os.sync()
again = arena.write("bytes", [value], run="r")
assert (again.segment, again.generation) == (first.segment, 2) and arena.view(again) == value
"""


def test_what_is_reserved_can_be_written_again_on_a_full_disk_that_copies_on_write(tmp_path: Path) -> None:
    """Where it could not the writer would die of it."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    image.touch()
    os.truncate(image, 120 * MIB)
    if os.geteuid() != 0 or not shutil.which("mkfs.btrfs") or subprocess.run(["mkfs.btrfs", "-q", image]).returncode:
        pytest.skip("needs root, and mkfs.btrfs (Debian package btrfs-progs)")
    if subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a btrfs")
    try:
        assert process(REUSED_ON_A_FULL_DISK, disk, Path(__file__).parent).wait(60) == 0
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_limits_follow_the_file_system_unless_they_are_given(small_tmpfs: Path, tmp_path: Path) -> None:
    small = Folder.open(small_tmpfs / "arena")
    assert limits(ArenaSettings(small.path), small.fd, 0).max_bytes <= 4 * MIB
    large = Folder.open(tmp_path / "large")
    chosen = limits(ArenaSettings(large.path), large.fd, 0)
    assert chosen.max_bytes >= 64 * MIB
    assert chosen.run_max_bytes == chosen.max_bytes // 2
    assert limits(ArenaSettings(large.path, max_bytes=8 * MIB), large.fd, 0).segment_bytes == MIB
    small.close()
    large.close()


def test_a_clock_that_was_set_back_does_not_make_the_room_wanted_until_then(settings: ArenaSettings) -> None:
    folder = Folder.open(settings.folder)
    ask_for_room(folder)
    assert is_wanted(folder)
    os.utime(settings.folder / ROOM_WANTED, (time.time() + 3600, time.time() + 3600))

    assert not is_wanted(folder)
    folder.close()


def test_pages_that_were_written_before_are_used_again(arena: Arena, settings: ArenaSettings) -> None:
    for turn in range(20):
        arena.write("bytes", [bytes(5 * MIB)], run=f"r{turn}")
        sweep(settings)

    assert arena.counters.segments_made == 1
    assert arena.counters.segments_reused == 19


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is read from /proc")
def test_new_pages_are_written_through_the_file_and_those_of_before_through_a_mapping(arena: Arena, settings: ArenaSettings) -> None:
    mapped = []
    for run in ("first", "again"):
        value = os.urandom(MIB // 2 + 7)
        ref = arena.write("bytes", [value], run=run)
        mapped.append(f"{ref.segment}.seg" in Path("/proc/self/maps").read_text())
        assert arena.view(ref) == value
        sweep(settings)

    assert mapped == [False, True]
    assert arena.counters.segments_reused == 1


def test_a_value_that_is_changed_while_it_is_written_is_as_it_was_when_it_was_copied(arena: Arena, settings: ArenaSettings) -> None:
    value, written = numpy.zeros(4 * MIB, numpy.uint8), threading.Event()

    def change() -> None:
        while not written.is_set():
            numpy.invert(value, out=value)  # lets other threads go on meanwhile

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for turn in range(6):  # the first into a new segment, the others into one that is used again
            arena.view(arena.write("buffer", [value], run=f"r{turn}"))  # or it raises: its bytes do not match their checksum
            sweep(settings)
    finally:
        written.set()
        changing.join()


def test_threads_that_find_no_room_again_and_again_never_exceed_the_limit(arena: Arena, settings: ArenaSettings) -> None:
    def insist(number: int) -> None:
        for _ in range(150):
            with contextlib.suppress(ArenaFull):
                arena.write("bytes", [bytes(3 * MIB)], run=f"run-{number}")

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(insist, range(12)))

    assert used(settings.folder) <= 16 * MIB


def test_where_no_usual_segment_fits_a_smaller_one_is_made(arena: Arena, settings: ArenaSettings) -> None:
    arena.write("bytes", [bytes(7 * MIB)], run="one")
    arena.write("bytes", [bytes(7 * MIB)], run="other")

    ref = arena.write("bytes", [b"x" * MIB], run="small")

    assert arena.view(ref) == b"x" * MIB and used(settings.folder) <= 16 * MIB


@pytest.mark.parametrize("damage", ["header", "mode"])
def test_nothing_is_written_into_a_segment_that_readers_would_refuse(arena: Arena, settings: ArenaSettings, damage: str) -> None:
    arena.write("bytes", [b"x" * 1_000], run="before")
    (segment,) = settings.folder.glob("*.seg")
    if damage == "mode":
        segment.chmod(0o644)
    else:
        with segment.open("r+b") as file:
            file.write(b"????")

    ref = arena.write("bytes", [b"y" * 1_000], run="after")

    assert arena.view(ref) == b"y" * 1_000


def test_a_segment_that_does_not_take_what_is_written_says_so_and_goes_on(arena: Arena) -> None:
    arena.write("bytes", [b"before"], run="run-1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ArenaUnusable, match=r"cannot be written.*File too large"):
            arena.write("bytes", [b"abc" * 10_000], run="run-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert arena.view(arena.write("bytes", [b"abc" * 10_000], run="run-1")) == b"abc" * 10_000


def test_a_file_that_may_not_become_so_large_leaves_nothing_behind(settings: ArenaSettings, open_arena: Opener) -> None:
    arena = open_arena(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        with pytest.raises(ArenaFull, match="File too large"):
            arena.write("bytes", [b"abc"], run="run-1")
        after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert after == before + 1  # the writer's lock
    assert segments(settings.folder, ".new") == []
    assert arena.view(arena.write("bytes", [b"abc"], run="run-1")) == b"abc"


def test_who_finds_the_room_locked_for_ever_is_told_by_what(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HELD_AT_MOST_S", 0.05)
    folder = Folder.open(arena.settings.folder)
    with locks.waiting_for(folder, ROOM_LOCK), pytest.raises(ArenaUnusable, match=r"room\.lock.*stopped") as caught:
        arena.write("bytes", [b"abc"], run="run-1")
    folder.close()
    assert caught.value.retryable
    assert arena.view(arena.write("bytes", [b"abc"], run="run-1")) == b"abc"


def test_a_stream_that_is_collected_while_its_run_is_counted_gives_its_room_back(
    settings: ArenaSettings, open_arena: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena, refresh = open_arena(replace(settings, run_max_bytes=MIB)), Index.refresh

    def collecting(index: Index) -> None:
        gc.collect()
        refresh(index)

    def leave_a_stream_behind() -> None:
        writer = arena.stream("bytes", run="run-1")
        writer.write(bytes(900 << 10))
        around: list[object] = [writer]
        around.append(around)

    gc.disable()
    try:
        leave_a_stream_behind()
        monkeypatch.setattr(accounts, "_AGAIN_S", -1.0)  # counted at once
        monkeypatch.setattr(Index, "refresh", collecting)
        refs: list[Ref] = []  # in a thread, because what is collected in the wrong place would wait for a lock of its own thread
        writing = threading.Thread(target=lambda: refs.append(arena.write("bytes", [b"x" * (900 << 10)], run="run-1")), daemon=True)
        writing.start()
        writing.join(timeout=20)
    finally:
        gc.enable()
    assert len(refs) == 1 and arena.view(refs[0]) == b"x" * (900 << 10)
