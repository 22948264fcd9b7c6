"""Whatever is written, streamed, read, freed, used again, closed and killed, in any order: a view shows what was written, or it is a typed error.

The model is a dict from refs to the bytes that were written under them. Several arenas on one folder stand for the processes of a host, as
they share nothing but the folder; a killed process is a real one. Small segments in a small arena make room short all the time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings, stateful
from hypothesis import strategies as st

from jetfleet.broker.arena import Arena, ArenaSettings, EntryWriter, copying
from jetfleet.broker.arena.check import check
from jetfleet.broker.arena.folder import Folder
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.schemas.payload_errors import ArenaFull, PayloadCorrupt, PayloadLost, RunTooLarge
from jetfleet.schemas.ref import Ref, from_ext, to_ext

KIB = 1 << 10
SEGMENT, ROOM, OF_ONE_RUN = 256 * KIB, 2048 * KIB, 1024 * KIB
SOAK = settings.default is not None and settings.default.max_examples >= 10_000

processes = st.integers(0, 1)
runs = st.sampled_from("abc")
lengths = st.sampled_from([0, 1, 64, 4_095, 60_000, SEGMENT - 4096 - 192, SEGMENT - 4096, SEGMENT + 1, 3 * SEGMENT])
seeds = st.integers(0, 255)


def body(length: int, seed: int) -> bytes:
    """Each place of it differs from the places a header or a segment away."""
    return (bytes(range(seed, 256)) + bytes(seed) + b"...") * (length // 259) + bytes([seed]) * (length % 259)


@dataclass
class Stream:
    """An entry that a process has begun, and what was written into it."""

    process: int
    writer: EntryWriter
    written: bytes = b""


class Host(stateful.RuleBasedStateMachine):
    """`written` is the model; `over` are the runs that have ended, under names that are not used again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="arena-"))
        self.settings = ArenaSettings(self.folder / "arena", ROOM, OF_ONE_RUN, keep_s=0.0, segment_bytes=SEGMENT)
        self.arenas = [Arena.open(self.settings) for _ in range(2)]
        self.keeper = Keeper(self.settings)
        self.written: dict[Ref, bytes] = {}
        self.streams: list[Stream] = []
        self.held: list[tuple[memoryview, bytes]] = []
        self.ended = dict.fromkeys("abc", 0)

    def run(self, name: str) -> str:
        return f"{name}{self.ended[name]}"

    def is_open(self, run: str) -> bool:
        return run == self.run(run[0])

    @stateful.rule(process=processes, name=runs, length=lengths, seed=seeds)
    def writes(self, process: int, name: str, length: int, seed: int) -> None:
        value = body(length, seed)
        try:
            ref = self.arenas[process].write("bytes", [value[: length // 3], value[length // 3 :]], run=self.run(name))
        except (ArenaFull, RunTooLarge):
            return
        self.written[ref] = value

    @stateful.rule(process=processes, name=runs)
    def begins_a_stream(self, process: int, name: str) -> None:
        try:
            self.streams.append(Stream(process, self.arenas[process].stream("bytes", run=self.run(name))))
        except ArenaFull:
            return

    @stateful.precondition(lambda self: self.streams)
    @stateful.rule(place=st.integers(0, 5), length=lengths, seed=seeds)
    def streams_on(self, place: int, length: int, seed: int) -> None:
        stream, piece = self.streams[place % len(self.streams)], body(length, seed)
        try:
            stream.writer.write(piece)
        except (ArenaFull, RunTooLarge):
            return
        stream.written += piece

    @stateful.precondition(lambda self: self.streams)
    @stateful.rule(whole=st.booleans(), meta=st.binary(max_size=200))
    def ends_a_stream(self, whole: bool, meta: bytes) -> None:
        stream = self.streams.pop(0)
        if whole:
            self.written[stream.writer.finish(meta)] = stream.written
        else:
            stream.writer.abort()

    @stateful.precondition(lambda self: self.written)
    @stateful.rule(process=processes, held=st.none() | st.integers(0, 9))
    def reads(self, process: int, held: int | None) -> None:
        """All there is, of runs that are over too; and goes on looking at one of the last."""
        for number, (ref, value) in enumerate(reversed(self.written.items())):
            try:
                view = self.arenas[process].view(ref)
            except PayloadLost as lost:
                assert type(lost) is not PayloadCorrupt and not self.is_open(ref.run), lost
                continue
            assert view == value
            if number == held:
                self.held.append((view, value))

    @stateful.precondition(lambda self: self.held)
    @stateful.rule()
    def lets_go_of_a_view(self) -> None:
        self.held.pop(0)

    @stateful.rule(names=st.sampled_from(["a", "b", "ab", "abc", "abc"]), writer=st.none() | processes)
    def runs_end(self, names: str, writer: int | None) -> None:
        for name in names:
            self.ended[name] += 1
        self.the_keeper_sweeps(writer, names[0])

    def the_keeper_sweeps(self, writer: int | None, name: str) -> None:
        """Somebody may write while it asks which runs are over."""
        assert self.keeper.acquire()

        async def is_over(asked: set[str]) -> set[str]:
            if writer is not None:
                self.writes(writer, name, 60_000, 5)
            return {run for run in asked if not self.is_open(run)}

        asyncio.run(self.keeper.sweep(is_over))

    @stateful.rule(process=processes)
    def a_process_is_replaced(self, process: int) -> None:
        for stream in [stream for stream in self.streams if stream.process == process]:
            stream.writer.abort()
            self.streams.remove(stream)
        self.arenas[process].close()
        self.arenas[process] = Arena.open(self.settings)

    @stateful.rule(name=runs, length=lengths, death=st.sampled_from(["after", "copying", "streaming"]))
    def a_process_is_killed(self, name: str, length: int, death: str) -> None:
        """It tells of one value that it has written, and dies over the next one."""
        value = body(length, 7)
        ref = told_by_the_dead(self.settings, self.run(name), value, death)
        if ref is not None:
            self.written[ref] = value

    @stateful.invariant()
    def what_is_held_stays_as_it_is(self) -> None:
        assert all(view == value for view, value in self.held)

    @stateful.invariant()
    def the_arena_keeps_its_limit(self) -> None:
        files = (path for path in self.settings.folder.iterdir() if path.suffix in (".seg", ".free", ".new"))
        assert sum(path.stat().st_size for path in files) <= ROOM

    def teardown(self) -> None:
        for ref, value in self.written.items():
            if self.is_open(ref.run):
                assert self.arenas[0].view(ref) == value
        folder = Folder.open(self.settings.folder)
        assert check(folder).findings == ()
        for stream in self.streams:
            stream.writer.abort()
        self.held.clear()
        for arena in self.arenas:
            arena.close()
        self.runs_end("abc", None)
        assert folder.segments() == []
        self.keeper.release()
        folder.close()
        shutil.rmtree(self.folder)


def told_by_the_dead(settings: ArenaSettings, run: str, value: bytes, death: str) -> Ref | None:
    """What a process said of a value before it was killed; None if there was no room for it."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            arena = Arena.open(settings)
            os.write(write_end, to_ext(arena.write("bytes", [value], run=run)).data)
            DEATHS[death](arena, run)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(write_end)
    said = b"".join(iter(lambda: os.read(read_end, 4096), b""))
    os.close(read_end)
    os.waitpid(child, 0)
    return from_ext(1, memoryview(said)) if said else None  # type: ignore[return-value]


def dies_copying(arena: Arena, run: str) -> None:
    def killing(place: memoryview, crc: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return crc

    copying.crc32 = killing  # type: ignore[assignment]
    arena.write("bytes", [bytes(SEGMENT // 2)], run=run)


def dies_streaming(arena: Arena, run: str) -> None:
    arena.stream("bytes", run=run).write(bytes(SEGMENT * 2))


DEATHS: dict[str, Callable[[Arena, str], None]] = {"after": lambda arena, run: None, "copying": dies_copying, "streaming": dies_streaming}

TestHost = Host.TestCase
TestHost.settings = settings(
    max_examples=1_000 if SOAK else 12, stateful_step_count=60 if SOAK else 30, derandomize=not SOAK, deadline=None
)
