"""Several processes in one arena, some of which die, fork, or free what others have."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.broker.arena.check import check
from jetfleet.broker.arena.folder import ROOM_LOCK, Folder
from jetfleet.broker.arena.index import Index
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.broker.arena.locks import owned, waiting_for
from jetfleet.broker.arena.writer import is_alive
from jetfleet.schemas.ref import from_ext

from .places import process, segments

MIB = 1 << 20
OPENED = """
import os, signal, sys
from pathlib import Path
from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.schemas.ref import to_ext
arena = Arena.open(ArenaSettings(Path(sys.argv[1]), max_bytes=64 << 20, segment_bytes=1 << 20))
def tell(ref):
    print(to_ext(ref).data.hex(), flush=True)
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)\n"


def runs_in(folder: Path) -> dict[str, int]:
    opened = Folder.open(folder)
    index = Index(opened)
    index.refresh()
    opened.close()
    return index.runs()


def told(line: str) -> object:
    return from_ext(1, memoryview(bytes.fromhex(line)))


def killed(script: str, folder: Path) -> list[str]:
    """What the script printed before it died by SIGKILL."""
    running = process(OPENED + script + KILLED, folder)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    return out.split()


def test_what_a_process_wrote_survives_its_death(settings: ArenaSettings, arena: Arena) -> None:
    [line] = killed("tell(arena.write('bytes', [b'abc' * 100000], run='r'))\n", settings.folder)

    assert arena.view(told(line)) == b"abc" * 100_000


@pytest.mark.parametrize(
    "death",
    [
        "from jetfleet.broker.arena.segment import Segment\nSegment.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\narena.write('bytes', [b'x' * 300000], run='torn')\n",
        "from jetfleet.broker.arena import copying\ndef crc32(place, crc):\n    os.kill(os.getpid(), signal.SIGKILL)\ncopying.crc32 = crc32\narena.write('bytes', [b'x' * 900000], run='torn')\n",
        "s = arena.stream('bytes', run='torn')\ns.write(b'x' * 3000000)\n",
    ],
    ids=["before the header", "in the middle of the body", "before a stream is finished"],
)
def test_a_writer_killed_mid_copy_leaves_no_entry(settings: ArenaSettings, arena: Arena, death: str) -> None:
    [line] = killed("tell(arena.write('bytes', [b'whole'], run='whole'))\n" + death, settings.folder)

    assert runs_in(settings.folder) == {"whole": 5}
    assert arena.view(told(line)) == b"whole"
    folder = Folder.open(settings.folder)
    assert check(folder).findings == ()
    folder.close()


def test_a_writer_killed_while_it_makes_a_segment_leaves_only_what_the_keeper_removes(settings: ArenaSettings) -> None:
    killed(
        "from jetfleet.broker.arena import room\nroom._allocate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\narena.write('bytes', [b'x'], run='r')\n",
        settings.folder,
    )
    assert len(segments(settings.folder, ".new")) == 1

    keeper = Keeper(settings)
    assert keeper.acquire()
    asyncio.run(keeper.sweep(nothing_over))
    assert sorted(os.listdir(settings.folder)) == ["id", "keeper.lock", "room.lock"]
    keeper.release()


async def nothing_over(runs: set[str]) -> set[str]:
    return set()


def test_a_process_reads_what_another_one_writes_in_place(settings: ArenaSettings, arena: Arena) -> None:
    writer = process(OPENED + "for line in sys.stdin:\n    tell(arena.write('bytes', [line.encode() * 1000], run='r'))\n", settings.folder)
    assert writer.stdin is not None and writer.stdout is not None
    for word in ("first", "second"):
        writer.stdin.write(f"{word}\n")
        writer.stdin.flush()
        assert arena.view(told(writer.stdout.readline())) == f"{word}\n".encode() * 1000
    writer.stdin.close()
    assert writer.wait(60) == 0
    writer.stdout.close()
    assert arena.counters.copied_bytes == 0


def test_a_forked_child_writes_under_its_own_name_and_keeps_its_parents_views(arena: Arena, settings: ArenaSettings) -> None:
    parents = arena.write("bytes", [b"parent"], run="r")
    view, stream = arena.view(parents), arena.stream("bytes", run="r")
    stream.write(b"streamed by the parent")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ref = arena.write("bytes", [b"child"], run="r")
            right = view == b"parent" and arena.view(parents) == b"parent" and arena.view(ref) == b"child"
            stream.abort()  # is the parent's
            os.write(write_end, f"{right} {ref.segment}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    _, status = os.waitpid(child, 0)
    right, childs_segment = os.read(read_end, 1000).decode().split()
    os.close(read_end)

    assert (status, right) == (0, "True")
    assert childs_segment.rpartition("-")[0] != parents.segment.rpartition("-")[0]
    assert arena.view(stream.finish()) == b"streamed by the parent"
    assert arena.view(arena.write("bytes", [b"parent again"], run="r")) == b"parent again"


def test_a_childs_death_does_not_make_its_parent_look_dead(arena: Arena, settings: ArenaSettings) -> None:
    ref = arena.write("bytes", [b"abc"], run="r")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    folder = Folder.open(settings.folder)
    assert is_alive(folder, ref.segment.rpartition("-")[0])
    folder.close()


def test_a_child_that_was_forked_while_somebody_held_a_lock_does_not_keep_it(
    arena: Arena, settings: ArenaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any node may fork while others write and the keeper frees."""
    monkeypatch.setattr("jetfleet.broker.arena.locks.HELD_AT_MOST_S", 0.1)
    monkeypatch.setattr("jetfleet.broker.arena.reader.LOCKED_FOR_S", 0.1)
    ref, folder = arena.write("bytes", [b"abc"], run="r"), Folder.open(settings.folder)
    read_end, write_end = os.pipe()
    [segment] = folder.segments()
    with waiting_for(folder, ROOM_LOCK), owned(folder, segment.file, segment.inode):
        child = os.fork()
        if child == 0:
            os.close(write_end)
            os.read(read_end, 1)  # to the end of the test
            os._exit(0)
    try:
        assert arena.view(ref) == b"abc"
        assert arena.view(arena.write("bytes", [bytes(3 * MIB)], run="r")) == bytes(3 * MIB)
    finally:
        os.close(write_end)
        os.waitpid(child, 0)
        os.close(read_end)
        folder.close()


@pytest.mark.parametrize("count", [150, pytest.param(5_000, marks=pytest.mark.soak)])
def test_a_keeper_beside_busy_writers_takes_nothing_that_anybody_needs(settings: ArenaSettings, tmp_path: Path, count: int) -> None:
    names = ("one", "two")
    script = Path(__file__).with_name("writing_process.py")
    writers = [
        subprocess.Popen([sys.executable, script, settings.folder, name, str(count), tmp_path / name], stdout=subprocess.PIPE, text=True)
        for name in names
    ]

    async def over(runs: set[str]) -> set[str]:
        limits = {name: int.from_bytes(read(tmp_path / name), "little") for name in names}
        return {run for run in runs if int(run.rpartition("-")[2]) < limits[run.rpartition("-")[0]]}

    keeper, freed = Keeper(settings), 0
    assert keeper.acquire()
    while any(writer.poll() is None for writer in writers):
        freed += asyncio.run(keeper.sweep(over)).freed
    reused = [int(writer.communicate()[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert freed > 0 and sum(reused) > 0

    asyncio.run(keeper.sweep(everything))
    assert segments(settings.folder) == []
    keeper.release()


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def everything(runs: set[str]) -> set[str]:
    return runs


def test_two_arenas_of_one_process_do_not_meet(settings: ArenaSettings, open_arena: Callable[[ArenaSettings], Arena]) -> None:
    first, second = open_arena(settings), open_arena(settings)
    refs = [arena.write("bytes", [value], run="r") for arena, value in ((first, b"1"), (second, b"2"), (first, b"3"))]

    assert [second.view(ref) for ref in refs] == [b"1", b"2", b"3"]
    assert refs[0].segment == refs[2].segment != refs[1].segment
