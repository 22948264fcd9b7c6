"""A look over the whole arena finds what is damaged, and says where and whose it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from jetfleet.broker.arena import Arena
from jetfleet.broker.arena.check import check
from jetfleet.broker.arena.folder import Folder
from jetfleet.broker.arena.index import Index
from jetfleet.broker.arena.walk import SegmentWalk

from .places import flip, segment_file

BODY = b"abc" * 1000


@pytest.fixture
def folder(arena: Arena) -> Iterator[Folder]:
    folder = Folder.open(arena.settings.folder)
    yield folder
    folder.close()


def test_an_arena_that_is_whole_has_no_findings(arena: Arena, folder: Folder) -> None:
    for number in range(5):
        arena.write("bytes", [BODY], run=f"r{number}", meta=b"meta")
    writer = arena.stream("file", run="r5")
    writer.write(BODY)
    writer.finish()

    checked = check(folder)
    assert (checked.segments, checked.entries, checked.bytes, checked.findings) == (1, 6, 6 * len(BODY), ())


def test_a_flipped_bit_is_found_with_its_run(arena: Arena, folder: Folder) -> None:
    refs = [arena.write("bytes", [BODY], run=f"r{number}") for number in range(3)]
    flip(segment_file(arena, refs[1]), refs[1].offset + 10)

    [finding] = check(folder).findings
    assert (finding.segment, finding.offset, finding.run) == (f"{refs[1].segment}.seg", refs[1].offset, "r1")
    assert "checksum" in finding.problem


def test_a_damaged_header_is_found_and_the_entries_behind_it_are_checked(arena: Arena, folder: Folder) -> None:
    refs = [arena.write("bytes", [BODY], run=f"r{number}") for number in range(3)]
    flip(segment_file(arena, refs[1]), refs[1].offset - 128)

    checked = check(folder)
    assert checked.entries == 2
    assert [(finding.offset, "header" in finding.problem) for finding in checked.findings] == [(refs[1].offset - 128, True)]


def test_segments_that_were_cut_off_or_are_none_are_found(arena: Arena, folder: Folder) -> None:
    ref = arena.write("bytes", [BODY], run="r")
    os.truncate(segment_file(arena, ref), 8192)
    (folder.path / "w-1.seg").write_bytes(b"garbage")
    (folder.path / "w-1.seg").chmod(0o600)
    (folder.path / "w-2.seg").write_bytes(b"garbage")
    (folder.path / "w-2.seg").chmod(0o644)
    (folder.path / "notes.txt").write_text("hello")

    found = {finding.segment: finding.problem for finding in check(folder).findings}
    assert found.keys() == {f"{ref.segment}.seg", "w-1.seg", "w-2.seg", "notes.txt"}
    assert "cut off" in found[f"{ref.segment}.seg"]
    assert "others may read" in found["w-2.seg"]


def test_the_index_reads_on_where_it_stopped(arena: Arena, folder: Folder) -> None:
    index = Index(folder)
    for number in range(1, 4):
        arena.write("bytes", [BODY], run="r")
        index.refresh()
        assert index.runs() == {"r": number * len(BODY)}
    assert [(entry.run, entry.codec, entry.length) for _, entry in index.entries()] == [("r", "bytes", len(BODY))] * 3
    assert (index.bytes_of("r"), index.bytes_of("unknown")) == (3 * len(BODY), 0)
    assert "run r (8.8 KiB)" in index.largest()


def test_a_walk_sees_what_is_written_while_it_reads(arena: Arena, folder: Folder) -> None:
    ref = arena.write("bytes", [b"first"], run="r")
    with open(segment_file(arena, ref), "rb") as opened:
        walk = SegmentWalk(opened.fileno())
        entries = walk.entries(over_damage=False)
        assert next(entries).length == 5
        for _ in range(3):
            arena.write("bytes", [b"later"], run="r")
        assert len(list(entries)) == 3
    assert walk.damaged == []


def test_a_walk_without_the_lock_does_not_step_over_a_header_that_may_be_half_written(arena: Arena, folder: Folder) -> None:
    refs = [arena.write("bytes", [BODY], run=f"r{number}") for number in range(3)]
    file = segment_file(arena, refs[0])
    index = Index(folder)
    flip(file, refs[1].offset - 128)
    index.refresh()
    assert index.runs().keys() == {"r0"}

    flip(file, refs[1].offset - 128)
    index.refresh()
    assert index.runs().keys() == {"r0", "r1", "r2"}
    assert index.segments[refs[0].segment].damaged == 0
