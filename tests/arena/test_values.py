"""What goes into the arena comes out of it: the same bytes, in place and read-only."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.schemas.errors import UnencodableValue, UsageError
from jetfleet.schemas.payload_errors import PayloadElsewhere

SEGMENT = 128 << 10
_folder = tempfile.TemporaryDirectory()
_shared = Arena.open(ArenaSettings(Path(_folder.name) / "arena", max_bytes=2 << 30, segment_bytes=SEGMENT))


near = st.sampled_from(
    [0, 1, 63, 64, 65, 127, 128, 4095, 4096, 4097, SEGMENT - 4096 - 128, SEGMENT - 4096 - 192, SEGMENT - 64, SEGMENT, SEGMENT + 1]
)
bodies = st.one_of(st.binary(max_size=300), near.map(os.urandom))


@given(st.lists(bodies, max_size=4), st.text(min_size=1, max_size=40), st.binary(max_size=200))
def test_any_parts_come_out_as_their_concatenation(parts: list[bytes], run: str, meta: bytes) -> None:
    ref = _shared.write("bytes", parts, run=run, meta=meta, count=len(parts), activation=("node", 1), again=True)

    assert _shared.view(ref) == b"".join(parts)
    assert (ref.length, ref.run, ref.meta, ref.count, ref.activation, ref.again) == (
        sum(map(len, parts)), run, meta, len(parts), ("node", 1), True,
    )  # fmt: skip


@given(st.lists(st.one_of(bodies, st.sampled_from([300_000, 600_000]).map(os.urandom)), max_size=4), st.binary(max_size=100))
def test_any_pieces_that_are_streamed_come_out_as_their_concatenation(pieces: list[bytes], meta: bytes) -> None:
    with _shared.stream("file", run="streamed") as writer:
        for piece in pieces:
            writer.write(piece)
        ref = writer.finish(meta=meta, count=7)

    assert _shared.view(ref) == b"".join(pieces)
    _shared.verify(ref)
    assert (ref.codec, ref.meta, ref.count, ref.length) == ("file", meta, 7, sum(map(len, pieces)))


@given(st.lists(st.tuples(st.booleans(), bodies), min_size=2, max_size=6))
def test_entries_one_behind_the_other_do_not_touch_each_other(values: list[tuple[bool, bytes]]) -> None:
    refs = []
    for streamed, value in values:
        if streamed:
            writer = _shared.stream("bytes", run="r")
            writer.write(value)
            refs.append(writer.finish())
        else:
            refs.append(_shared.write("bytes", [value], run="r"))

    assert [bytes(_shared.view(ref)) for ref in refs] == [value for _, value in values]


def test_a_view_cannot_be_written_to(arena: Arena) -> None:
    view = arena.view(arena.write("bytes", [b"abc"], run="r"))

    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 0


def test_an_empty_value_is_a_value(arena: Arena) -> None:
    ref = arena.write("bytes", [], run="r")

    assert arena.view(ref) == b""
    arena.verify(ref)


def test_a_body_is_aligned_for_any_type_of_number(arena: Arena) -> None:
    for length in range(1, 200, 7):
        assert arena.write("bytes", [bytes(length)], run="r" * length, meta=bytes(length)).offset % 64 == 0


def test_a_part_is_any_memory_that_lies_in_one_piece(arena: Arena) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(12, dtype=">f8").reshape(3, 4)

    assert arena.view(arena.write("numpy", [array, bytearray(b"x"), memoryview(b"yz")], run="r")) == array.tobytes() + b"xyz"
    with pytest.raises(UnencodableValue, match="contiguous"):
        arena.write("numpy", [array[:, ::2]], run="r")


def test_all_views_of_a_segment_share_one_mapping(arena: Arena) -> None:
    first, second = (arena.view(arena.write("bytes", [b"abc"], run="r")) for _ in range(2))

    assert first.obj is second.obj


def test_memory_that_was_handed_out_leads_back_to_its_ref(arena: Arena) -> None:
    ref, other = arena.write("bytes", [b"abcdef"], run="r"), arena.write("bytes", [b"abcdef"], run="r")
    view = arena.view(ref)
    arena.view(other)

    assert arena.find(view) == ref
    assert arena.find(memoryview(view)) == ref
    assert arena.find(view[1:]) is None
    assert arena.find(b"abcdef") is None
    assert arena.find(view[::2]) is None


def test_an_array_on_handed_out_memory_leads_back_to_its_ref(arena: Arena) -> None:
    numpy = pytest.importorskip("numpy")
    ref = arena.write("numpy", [numpy.arange(10.0)], run="r")
    array = numpy.frombuffer(arena.view(ref), "f8")

    assert arena.find(array) == ref
    assert arena.find(array[1:]) is None


def test_a_view_outlives_the_arena_object(settings: ArenaSettings) -> None:
    arena = Arena.open(settings)
    view = arena.view(arena.write("bytes", [b"abc" * 1000], run="r"))
    arena.close()

    assert view == b"abc" * 1000


def test_a_closed_arena_says_so(settings: ArenaSettings) -> None:
    arena = Arena.open(settings)
    ref = arena.write("bytes", [b"abc"], run="r")
    arena.close()

    with pytest.raises(UsageError, match="closed"):
        arena.view(ref)
    with pytest.raises(UsageError, match="closed"):
        arena.write("bytes", [b"abc"], run="r")


def test_another_arenas_ref_is_elsewhere(arena: Arena) -> None:
    ref = arena.write("bytes", [b"abc"], run="r").replace(host="other-0123")

    assert not arena.holds(ref)
    with pytest.raises(PayloadElsewhere, match="other-0123"):
        arena.view(ref)


def test_a_path_into_a_value_leads_to_the_whole_body(arena: Arena) -> None:
    ref = arena.write("list", [b"abc"], run="r")

    assert arena.view(ref.at((3, "id"))) == b"abc"


def test_names_that_fit_into_no_header_are_refused(arena: Arena) -> None:
    with pytest.raises(UnencodableValue, match="codec"):
        arena.write("much-too-long", [b""], run="r")
    with pytest.raises(UnencodableValue, match="70000 bytes"):
        arena.write("bytes", [b""], run="r", meta=bytes(70_000))
    with pytest.raises(UnencodableValue, match="run's id"):
        arena.stream("bytes", run="r" * 70_000)


def test_libraries_can_write_into_a_stream_as_into_a_file(arena: Arena) -> None:
    value = [os.urandom(1000) for _ in range(1000)]
    writer = arena.stream("pickle", run="r")
    buffered = io.BufferedWriter(writer)
    pickle.dump(value, buffered)
    buffered.close()

    assert pickle.loads(arena.view(writer.finish())) == value


def test_a_large_stream_gets_a_segment_of_its_own(arena: Arena) -> None:
    small, value = arena.write("bytes", [b"small"], run="r"), os.urandom(3 << 20)
    writer = arena.stream("bytes", run="r")
    for start in range(0, len(value), 100_000):
        writer.write(value[start : start + 100_000])
    large = writer.finish(meta=b"m")

    assert arena.view(large) == value
    assert large.segment != small.segment
    assert arena.write("bytes", [b"small"], run="r").segment == small.segment


def test_a_stream_that_was_given_up_leaves_nothing(arena: Arena) -> None:
    with arena.stream("bytes", run="r") as writer:
        writer.write(bytes(300_000))
    with pytest.raises(UsageError, match="given up"):
        writer.finish()

    ref = arena.write("bytes", [b"next"], run="r")
    assert arena.view(ref) == b"next"
    assert ref.offset < 300_000


def test_a_stream_outlives_the_arena_object_it_came_from(settings: ArenaSettings, open_arena: Callable[[ArenaSettings], Arena]) -> None:
    arena, files = Arena.open(settings), len(os.listdir("/dev/fd"))
    writer = arena.stream("bytes", run="r")
    writer.write(b"abc" * 100_000)
    arena.close()
    ref = writer.finish()

    assert open_arena(settings).view(ref) == b"abc" * 100_000
    assert len(os.listdir("/dev/fd")) <= files + 1


def test_many_threads_write_and_read_at_once(arena: Arena) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(60):
            value = bytes([number]) * (turn * 500)
            if arena.view(arena.write("bytes", [value], run=f"r{number}")) != value:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert arena.counters.entries_written == 480


@pytest.mark.soak
@pytest.mark.parametrize("streamed", [False, True])
def test_memory_of_more_than_4_gib_is_written_at_once(tmp_path: Path, streamed: bool) -> None:
    length, marks = (4 << 30) + 4099, [0, (2 << 30) - 1, (4 << 30) - 2, (4 << 30) + 4096]
    with open(tmp_path / "sparse", "w+b") as file:
        file.truncate(length)
        for mark in marks:
            os.pwrite(file.fileno(), b"abc", mark)
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arena = Arena.open(ArenaSettings(tmp_path / "arena", max_bytes=12 << 30, run_max_bytes=12 << 30))
    if streamed:
        with arena.stream("bytes", run="r") as writer:
            writer.write(memory)
            ref = writer.finish()
    else:
        ref = arena.write("bytes", [memory], run="r")

    arena.verify(ref)
    view = arena.view(ref, verify=False)
    assert len(view) == length
    assert all(view[mark - 1 if mark else 0 : mark + 4] == memory[mark - 1 if mark else 0 : mark + 4] for mark in marks)
    arena.close()


@pytest.mark.soak
def test_a_value_may_be_larger_than_4_gib(tmp_path: Path) -> None:
    arena = Arena.open(ArenaSettings(tmp_path / "arena", max_bytes=12 << 30, run_max_bytes=12 << 30))
    block = os.urandom(64 << 20)
    with arena.stream("bytes", run="r") as writer:
        for _ in range(65):
            writer.write(block)
        ref = writer.finish()

    arena.verify(ref)
    assert ref.length == 65 * len(block)
    assert arena.view(ref, verify=False)[-len(block) :] == block
    arena.close()
