"""Whatever happens to a segment behind the arena's back, a reader gets a typed error or the right bytes, and lives on."""

from __future__ import annotations

import fcntl
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.broker.arena.layout import head_bytes
from jetfleet.schemas.errors import UsageError
from jetfleet.schemas.payload_errors import ArenaUnusable, PayloadCorrupt, PayloadLost
from jetfleet.schemas.ref import Ref

from ..faults.machine.loop_disk import loop_disk
from ..faults.machine.needs import Missing
from .places import fill, flip, forget_pages, segment_file

VALUE = bytes(range(256)) * 1024
Spoil = Callable[[Arena, Ref, Path], None]
_folder = tempfile.TemporaryDirectory()
_bits = Arena.open(ArenaSettings(Path(_folder.name) / "arena", max_bytes=64 << 20))


@pytest.fixture
def ref(arena: Arena) -> Ref:
    return arena.write("bytes", [VALUE], run="run-1", meta=b"meta")


def truncated(arena: Arena, ref: Ref, file: Path) -> None:
    os.truncate(file, ref.offset + 100)


def cut_to_nothing(arena: Arena, ref: Ref, file: Path) -> None:
    os.truncate(file, 0)


def cut_by_a_page(arena: Arena, ref: Ref, file: Path) -> None:
    os.truncate(file, file.stat().st_size - 4096)


def flipped_body(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, ref.offset + len(VALUE) // 2)


def flipped_last_byte(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, ref.offset + len(VALUE) - 1)


def flipped_entry_magic(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, 4096)


def flipped_length(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, 4096 + 18)


def flipped_run(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, 4096 + 64 + 2)


def flipped_meta(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, 4096 + 64 + 6)


def flipped_segment_magic(arena: Arena, ref: Ref, file: Path) -> None:
    flip(file, 1)


def hole_in_the_body(arena: Arena, ref: Ref, file: Path) -> None:
    size = file.stat().st_size
    os.truncate(file, ref.offset + 5000)
    os.truncate(file, size)


def overwritten_with_garbage(arena: Arena, ref: Ref, file: Path) -> None:
    file.write_bytes(os.urandom(1 << 20))


@pytest.mark.parametrize(
    "spoil",
    [
        truncated, cut_to_nothing, cut_by_a_page, flipped_body, flipped_last_byte, flipped_entry_magic, flipped_length, flipped_run,
        flipped_meta, flipped_segment_magic, hole_in_the_body, overwritten_with_garbage,
    ],
)  # fmt: skip
def test_bytes_that_are_not_those_that_were_written_are_corrupt(arena: Arena, ref: Ref, spoil: Spoil) -> None:
    spoil(arena, ref, segment_file(arena, ref))

    with pytest.raises(PayloadCorrupt) as caught:
        arena.view(ref)
    assert caught.value.refs == (ref,)
    assert "run-1" in str(caught.value)
    with pytest.raises(PayloadCorrupt):
        arena.verify(ref)


def deleted(arena: Arena, ref: Ref, file: Path) -> None:
    file.unlink()


def open_to_others(arena: Arena, ref: Ref, file: Path) -> None:
    file.chmod(0o604)


def owned_by_another(arena: Arena, ref: Ref, file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, 12345, -1)


def replaced_by_a_link(arena: Arena, ref: Ref, file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def replaced_by_a_pipe(arena: Arena, ref: Ref, file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def replaced_by_a_folder(arena: Arena, ref: Ref, file: Path) -> None:
    file.unlink()
    file.mkdir()


def the_whole_folder_is_gone(arena: Arena, ref: Ref, file: Path) -> None:
    for name in os.listdir(file.parent):
        os.unlink(file.parent / name)
    file.parent.rmdir()


@pytest.mark.parametrize(
    "spoil",
    [
        deleted, open_to_others, owned_by_another, replaced_by_a_link, replaced_by_a_pipe, replaced_by_a_folder, the_whole_folder_is_gone,
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_or_is_gone_is_lost(arena: Arena, ref: Ref, spoil: Spoil) -> None:
    spoil(arena, ref, segment_file(arena, ref))

    for read in (arena.view, arena.verify):
        with pytest.raises(PayloadLost) as caught:
            read(ref)
        assert type(caught.value) is PayloadLost
        assert caught.value.refs == (ref,)


@pytest.mark.parametrize("spoil", [deleted, replaced_by_a_link, open_to_others])
def test_a_writer_whose_segment_was_tampered_with_goes_on_in_another(arena: Arena, ref: Ref, spoil: Spoil) -> None:
    spoil(arena, ref, segment_file(arena, ref))

    after = arena.write("bytes", [VALUE], run="run-1")
    if spoil is not open_to_others:
        assert after.segment != ref.segment
        assert arena.view(after) == VALUE


def test_a_writer_whose_segment_was_cut_off_goes_on_in_another(arena: Arena, ref: Ref) -> None:
    truncated(arena, ref, segment_file(arena, ref))

    after = arena.write("bytes", [VALUE], run="run-1")
    assert after.segment != ref.segment
    assert arena.view(after) == VALUE


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"generation": 2}, PayloadLost),
        ({"segment": "w-0123-9"}, PayloadLost),
        ({"segment": "../../etc/passwd"}, PayloadLost),
        ({"segment": ""}, PayloadLost),
        ({"offset": 1 << 40}, PayloadCorrupt),
        ({"offset": 64}, PayloadCorrupt),
        ({"offset": -64}, PayloadCorrupt),
        ({"length": 1 << 40}, PayloadCorrupt),
        ({"length": -1}, PayloadCorrupt),
        ({"length": len(VALUE) - 1}, PayloadCorrupt),
        ({"crc": 1}, PayloadCorrupt),
        ({"codec": "text"}, PayloadCorrupt),
        ({"run": "run-2"}, PayloadCorrupt),
        ({"meta": b"atem"}, PayloadCorrupt),
    ],
)  # fmt: skip
def test_a_ref_that_says_something_else_than_the_segment_is_refused(
    arena: Arena, ref: Ref, changes: dict[str, object], error: type[PayloadLost]
) -> None:
    held = arena.view(ref)  # also when the segment is mapped already
    for read in (arena.view, arena.verify):
        with pytest.raises(error) as caught:
            read(ref.replace(**changes))
        assert type(caught.value) is error
    assert held == VALUE


@given(st.integers(min_value=0, max_value=12_000), st.integers(min_value=0, max_value=7))
def test_any_flipped_bit_is_found_or_harmless(offset: int, bit: int) -> None:
    ref = _bits.write("bytes", [VALUE[:7000]], run="run-1", meta=b"meta")
    start = ref.offset - head_bytes(b"run-1", b"meta")
    place = offset if offset < 4096 else start + offset - 4096
    file = segment_file(_bits, ref)
    with open(file, "r+b") as opened:
        before = os.pread(opened.fileno(), 1, place)
        os.pwrite(opened.fileno(), bytes([before[0] ^ 1 << bit]), place)
        try:
            assert _bits.view(ref) == VALUE[:7000]
        except PayloadLost:
            pass
        finally:
            os.pwrite(opened.fileno(), before, place)


def test_a_value_that_was_right_is_not_read_again(arena: Arena, ref: Ref) -> None:
    arena.verify(ref)
    arena.verify(ref)
    arena.view(ref)

    assert arena.counters.entries_verified == 1


def test_a_large_value_can_be_handed_out_first_and_checked_later(arena: Arena, ref: Ref) -> None:
    flipped_body(arena, ref, segment_file(arena, ref))

    assert len(arena.view(ref, verify=False)) == len(VALUE)
    with pytest.raises(PayloadCorrupt, match="checksum"):
        arena.verify(ref)


def test_a_value_in_a_file_with_holes_is_read_and_never_mapped(arena: Arena) -> None:
    """A copy tool that leaves zeros out makes such files; on a full tmpfs touching them would be deadly."""
    value = bytes(300_000)
    ref = arena.write("bytes", [value], run="r")
    file = segment_file(arena, ref)
    hole_in_the_body(arena, ref, file)
    if file.stat().st_blocks * 512 >= file.stat().st_size:
        pytest.skip("this file system knows no holes")

    view = arena.view(ref, verify=False)
    assert view == value
    assert view.readonly


def test_a_hole_on_a_full_tmpfs_kills_nobody(small_tmpfs: Path) -> None:
    arena = Arena.open(ArenaSettings(small_tmpfs / "arena", max_bytes=2 << 20, segment_bytes=1 << 20))
    ref = arena.write("bytes", [VALUE], run="r")
    hole_in_the_body(arena, ref, segment_file(arena, ref))
    fill(small_tmpfs / "filler")

    with pytest.raises(PayloadCorrupt):
        arena.view(ref, verify=False)
    arena.close()


def test_a_hole_under_a_segment_that_is_mapped_already_kills_nobody(small_tmpfs: Path) -> None:
    arena = Arena.open(ArenaSettings(small_tmpfs / "arena", max_bytes=8 << 20, segment_bytes=1 << 20))
    first, second = (arena.write("bytes", [VALUE], run="r") for _ in range(2))
    held = arena.view(first)
    hole_in_the_body(arena, second, segment_file(arena, second))
    fill(small_tmpfs / "filler")

    with pytest.raises(PayloadCorrupt, match="cannot be read"):
        arena.view(second)
    assert held == VALUE
    arena.close()


def test_a_disk_that_fails_is_a_typed_error_for_all_who_use_it(tmp_path: Path) -> None:
    try:
        with loop_disk(tmp_path, 64 << 20) as disk:
            settings = ArenaSettings(disk.path / "arena", max_bytes=8 << 20, segment_bytes=1 << 20)
            arena = Arena.open(settings)
            ref, stream = arena.write("bytes", [VALUE], run="r"), arena.stream("bytes", run="r")
            stream.write(VALUE)
            disk.lose_power()

            for use in (lambda: arena.view(ref), lambda: arena.verify(ref), lambda: arena.write("bytes", [bytes(2 << 20)], run="r")):
                with pytest.raises((ArenaUnusable, PayloadCorrupt)):
                    use()
            with pytest.raises(ArenaUnusable):
                stream.write(VALUE)
            with pytest.raises(UsageError, match="given up"):
                stream.finish()
            arena.close()
    except Missing as missing:
        pytest.skip(str(missing))


def test_a_disk_whose_blocks_cannot_be_read_any_more_kills_nobody(tmp_path: Path) -> None:
    try:
        with loop_disk(tmp_path, 64 << 20) as disk:
            settings = ArenaSettings(disk.path / "arena", max_bytes=8 << 20, segment_bytes=1 << 20)
            writer = Arena.open(settings)
            refs = [writer.write("bytes", [VALUE], run="r") for _ in range(2)]
            file = segment_file(writer, refs[0])
            writer.close()
            reader = Arena.open(settings)
            forget_pages(file)
            disk.fail_beyond(64 << 10)
            for ref in refs:  # headers are looked at first, by whoever opens a value
                with pytest.raises(PayloadCorrupt, match="cannot be read"):
                    reader.view(ref, verify=False)
            reader.close()
    except Missing as missing:
        pytest.skip(str(missing))


def test_a_segment_that_somebody_holds_alone_is_not_waited_for_for_ever(arena: Arena, ref: Ref, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jetfleet.broker.arena.reader.LOCKED_FOR_S", 0.01)
    with open(segment_file(arena, ref), "rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        with pytest.raises(ArenaUnusable, match="alone"):
            arena.view(ref)
    assert arena.view(ref) == VALUE


def test_a_value_is_not_lost_because_this_process_has_no_descriptors_left(arena: Arena, ref: Ref) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for ask in (lambda: arena.view(ref), lambda: arena.verify(ref), lambda: arena.write("bytes", [bytes(2 << 20)], run="run-1")):
            with pytest.raises(ArenaUnusable, match="ulimit") as caught:
                ask()
            assert caught.value.retryable
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert arena.view(ref)
