"""The keeper frees what no run needs any more, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.broker.arena.keeper import Keeper, Swept
from jetfleet.broker.arena.leftovers import FORGOTTEN_AFTER_S, SPARE_FOR_S
from jetfleet.schemas.errors import UsageError
from jetfleet.schemas.payload_errors import ArenaFull, PayloadLost

from .places import flip, segment_file, segments

MIB = 1 << 20
Opener = Callable[[ArenaSettings], Arena]


class Runs:
    """Which runs are over; `asked` collects the questions."""

    def __init__(self, *over: str) -> None:
        self.over = set(over)
        self.asked: list[set[str]] = []

    async def __call__(self, runs: set[str]) -> set[str]:
        self.asked.append(runs)
        return runs & self.over


@pytest.fixture
def keeper(settings: ArenaSettings) -> Keeper:
    keeper = Keeper(settings)
    assert keeper.acquire()
    return keeper


def sweep(keeper: Keeper, runs: Runs) -> Swept:
    return asyncio.run(keeper.sweep(runs))


def ages(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_an_open_run_has_stays(arena: Arena, keeper: Keeper) -> None:
    ref = arena.write("bytes", [b"abc"], run="open")

    assert sweep(keeper, Runs()).needed == 1
    assert arena.view(ref) == b"abc"


def test_what_ended_runs_have_left_is_freed(arena: Arena, keeper: Keeper) -> None:
    ref = arena.write("bytes", [b"abc"], run="ended")

    assert sweep(keeper, Runs("ended")).freed == 1
    with pytest.raises(PayloadLost, match="freed"):
        arena.view(ref)


def test_one_open_run_keeps_a_segment_that_it_shares(arena: Arena, keeper: Keeper) -> None:
    ended, still_open = arena.write("bytes", [b"abc"], run="ended"), arena.write("bytes", [b"def"], run="open")

    assert sweep(keeper, Runs("ended")).freed == 0
    assert (arena.view(ended), arena.view(still_open)) == (b"abc", b"def")
    assert keeper.runs() == {"ended", "open"}


def test_a_segment_used_again_refuses_refs_to_what_was_there(arena: Arena, keeper: Keeper) -> None:
    before = arena.write("bytes", [b"abc"], run="ended")
    sweep(keeper, Runs("ended"))
    after = arena.write("bytes", [b"def"], run="open")

    assert (after.segment, after.offset) == (before.segment, before.offset + after.offset - before.offset)
    assert after.generation == before.generation + 1
    with pytest.raises(PayloadLost, match="holds other values"):
        arena.view(before.replace(offset=after.offset))
    assert arena.view(after) == b"def"


def test_no_place_is_ever_given_twice(arena: Arena, keeper: Keeper) -> None:
    """Several segments wait for entries when they are freed, and values come that fit only into an empty one."""
    places, runs = set(), Runs()
    for turn in range(8):
        streams = [arena.stream("bytes", run=f"ended-{turn}") for _ in range(3)]
        for stream in streams:
            stream.write(bytes(300_000))
        refs = [stream.finish() for stream in streams]
        runs.over.add(f"ended-{turn}")
        sweep(keeper, runs)
        for length in (900_000, 100_000, 600_000, 10):
            refs.append(arena.write("bytes", [bytes([turn]) * length], run=f"open-{turn}"))
            assert arena.view(refs[-1]) == bytes([turn]) * length
        assert not places & {ref.entry for ref in refs}
        places.update(ref.entry for ref in refs)
        runs.over.add(f"open-{turn}")


def test_a_view_keeps_its_segment_after_the_runs_end(arena: Arena, keeper: Keeper) -> None:
    value = os.urandom(3 * MIB)
    view = arena.view(arena.write("bytes", [value], run="ended"))

    assert sweep(keeper, Runs("ended")).busy == 1
    arena.write("bytes", [os.urandom(3 * MIB)], run="next")
    assert view == value

    part = view[MIB : 2 * MIB]
    del view
    assert sweep(keeper, Runs("ended")).busy == 1
    assert part == value[MIB : 2 * MIB]

    del part
    assert sweep(keeper, Runs("ended")).freed == 1


def test_an_array_keeps_its_segment(arena: Arena, keeper: Keeper) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.frombuffer(arena.view(arena.write("numpy", [numpy.arange(1000.0)], run="ended")), "f8")

    assert sweep(keeper, Runs("ended")).busy == 1
    assert array.sum() == 499_500
    del array
    assert sweep(keeper, Runs("ended")).freed == 1


def test_an_entry_that_is_being_written_keeps_its_segment(arena: Arena, keeper: Keeper) -> None:
    arena.write("bytes", [b"abc"], run="ended")
    writer = arena.stream("bytes", run="open")
    writer.write(b"def")

    assert sweep(keeper, Runs("ended")).busy == 1
    assert arena.view(writer.finish()) == b"def"
    assert sweep(keeper, Runs("ended")).needed == 1


def test_what_is_appended_while_the_keeper_asks_is_seen(arena: Arena, keeper: Keeper) -> None:
    arena.write("bytes", [b"abc"], run="ended")
    late = []

    async def over(runs: set[str]) -> set[str]:
        late.append(arena.write("bytes", [b"def"], run="open"))
        return runs & {"ended"}

    assert asyncio.run(keeper.sweep(over)).freed == 0
    assert [arena.view(ref) for ref in late] == [b"def", b"def"]


def test_a_run_that_began_again_is_not_taken_for_over(settings: ArenaSettings, arena: Arena, keeper: Keeper) -> None:
    runs = Runs("again")
    arena.write("bytes", [b"abc"], run="again")
    arena.write("bytes", [b"abc"], run="open")
    sweep(keeper, runs)
    ref = arena.write("bytes", [b"def"], run="again")
    runs.over = {"open"}

    sweep(keeper, runs)
    assert arena.view(ref) == b"def"


def test_values_stay_a_while_after_their_runs_end(settings: ArenaSettings, arena: Arena) -> None:
    keeper = Keeper(replace(settings, keep_s=3600))
    assert keeper.acquire()
    ref = arena.write("bytes", [b"abc"], run="ended")

    assert sweep(keeper, Runs("ended")).waiting == 1
    assert arena.view(ref) == b"abc"


def test_nothing_is_kept_that_long_when_room_is_short(settings: ArenaSettings, arena: Arena) -> None:
    keeper = Keeper(replace(settings, keep_s=3600))
    assert keeper.acquire()
    oldest = arena.write("bytes", [bytes(6 * MIB)], run="oldest")
    newer = arena.write("bytes", [bytes(7 * MIB)], run="newer")

    assert sweep(keeper, Runs("oldest", "newer")).freed == 1  # above the high-water mark: the oldest first, and no more than it takes
    assert len(arena.view(newer)) == 7 * MIB
    with pytest.raises(PayloadLost):
        arena.view(oldest)


def test_nothing_is_kept_that_long_when_somebody_waits_for_room(settings: ArenaSettings, arena: Arena) -> None:
    keeper = Keeper(replace(settings, keep_s=3600))
    assert keeper.acquire()
    for run in ("a", "b"):
        arena.write("bytes", [bytes(5 * MIB)], run=run)
    assert sweep(keeper, Runs("a", "b")).waiting == 2

    with pytest.raises(ArenaFull):
        arena.write("bytes", [bytes(8 * MIB)], run="c")
    assert sweep(keeper, Runs("a", "b")).freed == 2
    assert len(arena.view(arena.write("bytes", [bytes(8 * MIB)], run="c"))) == 8 * MIB


def test_ten_thousand_runs_leave_nothing_behind(settings: ArenaSettings, arena: Arena, keeper: Keeper) -> None:
    runs = Runs()
    for number in range(10_000):
        run = f"run-{number}"
        ref = arena.write("bytes", [run.encode()], run=run)
        if number % 97 == 0:
            assert arena.view(ref) == run.encode()
        runs.over.add(run)
        if number % 1000 == 999:
            sweep(keeper, runs)

    assert segments(settings.folder) == []
    assert arena.counters.segments_made <= 2
    arena.close()
    sweep(keeper, runs)
    assert sorted(path.name for path in settings.folder.iterdir()) == ["id", "keeper.lock", "room.lock"]


def test_a_dead_writers_values_stay_until_their_runs_have_ended(settings: ArenaSettings, open_arena: Opener, keeper: Keeper) -> None:
    dead, reader, runs = Arena.open(settings), open_arena(settings), Runs()
    ref = dead.write("bytes", [b"abc"], run="r")
    dead.close()

    assert sweep(keeper, runs).needed == 1
    assert reader.view(ref) == b"abc"
    runs.over.add("r")
    swept = sweep(keeper, runs)
    assert (swept.freed, swept.removed) == (1, 1)
    assert segments(settings.folder, "") == ["id", "keeper.lock", "room.lock"]


def test_a_dead_writers_segment_without_entries_is_freed_at_once(settings: ArenaSettings) -> None:
    keeper, dead = Keeper(replace(settings, keep_s=3600)), Arena.open(settings)
    assert keeper.acquire()
    dead.stream("bytes", run="r").write(bytes(1000))
    dead.close()

    assert sweep(keeper, Runs()).removed == 1


def test_memory_that_its_writer_does_not_use_again_is_given_back(
    settings: ArenaSettings, arena: Arena, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena.write("bytes", [bytes(5 * MIB)], run="ended")
    sweep(keeper, Runs("ended"))
    assert len(segments(settings.folder, ".free")) == 1

    now = time.time()
    monkeypatch.setattr("jetfleet.broker.arena.leftovers.time.time", lambda: now + SPARE_FOR_S + 1)
    assert sweep(keeper, Runs()).removed_bytes > 5 * MIB
    monkeypatch.undo()
    assert arena.view(arena.write("bytes", [b"x" * 5 * MIB], run="r")) == b"x" * 5 * MIB


def test_an_unreadable_header_does_not_hide_the_entries_behind_it(arena: Arena, keeper: Keeper) -> None:
    refs = [arena.write("bytes", [b"abc" * 100], run=run) for run in ("ended", "damaged", "open")]
    flip(segment_file(arena, refs[1]), refs[1].offset - 100)

    assert sweep(keeper, Runs("ended", "damaged")).freed == 0
    assert keeper.runs() == {"ended", "open"}
    assert sweep(keeper, Runs("ended", "damaged")).needed == 1
    assert arena.view(refs[2]) == b"abc" * 100
    assert sweep(keeper, Runs("ended", "damaged", "open")).freed == 1


def test_a_failing_question_frees_nothing(arena: Arena, keeper: Keeper) -> None:
    ref = arena.write("bytes", [b"abc"], run="r")

    async def away(runs: set[str]) -> set[str]:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        asyncio.run(keeper.sweep(away))
    assert arena.view(ref) == b"abc"


def test_runs_that_are_known_to_be_over_are_asked_for_only_before_freeing(settings: ArenaSettings, arena: Arena) -> None:
    keeper, runs = Keeper(replace(settings, keep_s=3600)), Runs("ended")
    assert keeper.acquire()
    arena.write("bytes", [b"abc"], run="ended")
    for _ in range(3):
        sweep(keeper, runs)

    assert runs.asked == [{"ended"}]


def test_there_is_one_keeper_at_a_time(settings: ArenaSettings, keeper: Keeper) -> None:
    other = Keeper(settings)

    assert keeper.acquire()
    assert not other.acquire()
    with pytest.raises(UsageError, match="not the keeper"):
        other.runs()
    keeper.release()
    assert other.acquire()
    other.release()


def test_a_keeper_that_was_stopped_is_replaced(
    settings: ArenaSettings, arena: Arena, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jetfleet.broker.arena.keeper_lock.STOPPED_AFTER_S", 0.0)
    arena.write("bytes", [b"abc"], run="r")
    other = Keeper(settings)

    assert [other.acquire() for _ in range(3)] == [False, False, True]  # it sees the lock, takes it away, has one of its own
    assert not keeper.acquire()
    assert sweep(other, Runs("r")).freed == 1
    other.release()


def test_an_arena_whose_id_was_removed_has_it_again(settings: ArenaSettings, arena: Arena, keeper: Keeper) -> None:
    (settings.folder / "id").unlink()
    assert keeper.acquire()

    again = Arena.open(settings)
    assert again.host == arena.host
    again.close()


def test_files_of_attempts_that_nobody_holds_are_removed(settings: ArenaSettings, keeper: Keeper) -> None:
    import fcntl

    for name in ("left", "held", "young"):
        (settings.folder / "files" / name / "inner").mkdir(parents=True)
        (settings.folder / "files" / name / "inner" / "file").write_text("x")
    for name in ("left", "held"):
        ages(settings.folder / "files" / name, FORGOTTEN_AFTER_S + 5)
    fd = os.open(settings.folder / "files" / "held", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)

    assert sweep(keeper, Runs()).files == 1
    assert sorted(os.listdir(settings.folder / "files")) == ["held", "young"]
    os.close(fd)


def test_foreign_things_in_the_folder_are_left_alone(settings: ArenaSettings, keeper: Keeper) -> None:
    (settings.folder / "notes.txt").write_text("hello")
    (settings.folder / "w-1.seg").mkdir()
    (settings.folder / "w-2.seg").symlink_to("/etc/passwd")
    sweep(keeper, Runs())

    assert {"notes.txt", "w-1.seg", "w-2.seg"} <= set(os.listdir(settings.folder))


def test_what_a_run_writes_that_begins_again_while_it_is_asked_about_stays(arena: Arena, keeper: Keeper) -> None:
    arena.write("bytes", [b"old"], run="again")
    refs = []

    async def begins_again_after_the_answer(runs: set[str]) -> set[str]:
        refs.append(arena.write("bytes", [b"new"], run="again"))
        return runs

    assert asyncio.run(keeper.sweep(begins_again_after_the_answer)).freed == 0
    assert [arena.view(ref) for ref in refs] == [b"new", b"new"]
    assert sweep(keeper, Runs("again")).freed == 1
