"""What of a file goes along with its event."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.codecs.opened import PIECE_BYTES, FileChanged, OpenedFile
from jetfleet.broker.codecs.registry import codec_named
from jetfleet.schemas.errors import JetfleetError
from jetfleet.triggers.filesystem.contents import Changed, Contents, FileUnreadable
from jetfleet.triggers.filesystem.folder import Folder, View

from ...fleet.running import run
from .watched import watched


def opened(path: Path) -> OpenedFile:
    return OpenedFile(path.name, os.open(path, os.O_RDONLY))


@pytest.mark.parametrize(("kind", "content"), [("text", '{"n": 1}'), ("json", {"n": 1}), ("bytes", b'{"n": 1}'), ("none", None)])
def test_the_content_is_what_the_trigger_wants(kind: str, content: object, tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, content=kind) as one:
            one.write("a.json", '{"n": 1}')
            (payload,) = await one.fired(1)
            assert payload.get("content") == content
            (one.folder / "a.json").unlink()
            (removed,) = await one.fired(1)
            assert "content" not in removed

    run(test())


def test_what_cannot_be_had_is_said_and_others_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, content="json", max_content_bytes=50) as one:
            one.write("bad.json", "{not json")
            one.write("large.json", '"' + "x" * 100 + '"')
            one.write("good.json", "7")
            await one.fired(3)
            errors = {firing.error.code for firing in one.firings if firing.error is not None}
            assert errors == {"FILE_UNREADABLE", "FILE_TOO_LARGE"}
            assert [firing.payload["content"] for firing in one.firings if firing.error is None] == [7]
            assert {firing.payload["name"] for firing in one.firings if firing.error is not None} == {"bad.json", "large.json"}

    run(test())


def test_a_file_that_nobody_lets_us_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "a.csv"
    path.write_text("secret")
    path.chmod(0o000)
    tmp_path.chmod(0o711)  # who may not read the file may go to it
    folder = Folder.at(str(path.parent))
    with folder.view() as view, as_nobody(), pytest.raises(FileUnreadable, match="Permission denied"):
        read(view, path)


def read(view: View, path: Path) -> object:
    entry = view.look(str(path))
    assert entry is not None
    return Contents.of("text", None).read(view, entry)


@contextmanager
def as_nobody() -> Iterator[None]:
    """With fewer rights, where the tests run with all of them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_is_another_one_by_now_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "a.csv"
    path.write_text("one")
    folder = Folder.at(str(path.parent))
    with folder.view() as view:
        entry = view.look(str(path))
        assert entry is not None
        path.write_text("other")
        with pytest.raises(Changed):
            Contents.of("reference", None).read(view, entry)
        path.unlink()
        path.symlink_to("/etc/passwd")
        with pytest.raises(Changed):
            Contents.of("text", None).read(view, entry)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(Changed):
            Contents.of("text", None).read(view, entry)


@pytest.mark.parametrize("size", [0, 1, 3 * PIECE_BYTES + 7, 9 << 20])
def test_an_opened_file_is_encoded_as_a_file_of_any_size(size: int, tmp_path: Path) -> None:
    path = tmp_path / "größe.bin"
    path.write_bytes(os.urandom(size))
    codec = codec_named("file")
    encoded = codec.encode(opened(path))
    view = codec.decode(memoryview(encoded.body()), encoded.meta)
    assert (view.name, bytes(view.body)) == ("größe.bin", path.read_bytes())


@pytest.mark.parametrize("change", ["shorter", "longer", "other"])
def test_a_file_that_changes_while_it_is_read_is_no_value(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(4 * PIECE_BYTES))
    pieces = opened(path).pieces()
    next(pieces)
    with path.open("r+b") as file:
        if change == "shorter":
            file.truncate(PIECE_BYTES + 1)
        elif change == "longer":
            file.seek(0, os.SEEK_END)
            file.write(b"x")
        else:
            file.seek(2 * PIECE_BYTES)
            file.write(b"x")
    with pytest.raises(FileChanged):
        list(pieces)


def test_a_file_may_be_read_by_several_at_a_time_and_is_closed_with_the_last(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(os.urandom(5 * PIECE_BYTES))
    before = len(os.listdir("/proc/self/fd"))
    file = opened(path)
    found: list[bytes | JetfleetError] = []
    threads = [threading.Thread(target=lambda one: found.append(one.read()), args=(file,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {path.read_bytes()}
    del file, threads  # the target of a thread has it too
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_file_goes_into_an_arena_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(os.urandom(5 * PIECE_BYTES + 3))
    arena = Arena.open(ArenaSettings(tmp_path / "arena"))
    try:
        with arena.stream("file", run="r") as writer:
            for piece in opened(path).pieces():
                writer.write(piece)
            ref = writer.finish(b"a.bin")
        assert bytes(arena.view(ref)) == path.read_bytes()
    finally:
        arena.close()
