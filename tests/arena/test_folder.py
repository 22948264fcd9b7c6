"""The arena's folder is trusted only if it is this user's own."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.broker.arena.folder import Folder
from jetfleet.schemas.payload_errors import ArenaUnusable

from ..faults.machine.needs import Missing
from ..faults.machine.small_disk import small_disk


def test_everything_in_it_is_closed_to_others(arena: Arena) -> None:
    arena.write("bytes", [b"abc"], run="r")
    folder = arena.settings.folder

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_it_is_open_to_its_owner_and_nobody_else_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        arena = Arena.open(ArenaSettings(tmp_path / "arena", max_bytes=1 << 20))
        arena.write("bytes", [b"abc"], run="r")
        arena.close()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "arena").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "arena").iterdir()} == {0o600}


def test_its_id_stays_and_can_be_a_token_of_a_subject(arena: Arena) -> None:
    again = Arena.open(arena.settings)

    assert again.host == arena.host
    assert re.fullmatch(r"[A-Za-z0-9-]{8,}", arena.host)
    again.close()


def test_processes_that_come_at_once_agree_on_the_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: Folder.open(tmp_path / "arena"), range(32)))

    assert len({folder.host for folder in folders}) == 1
    assert os.listdir(tmp_path / "arena") == ["id"]
    for folder in folders:
        folder.close()


def test_who_only_reads_leaves_no_trace(arena: Arena) -> None:
    assert [path.name for path in arena.settings.folder.iterdir()] == ["id"]


def refused(folder: Path) -> str:
    with pytest.raises(ArenaUnusable) as caught:
        Arena.open(ArenaSettings(folder))
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_folder_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arena").mkdir(mode=0o755)

    assert "chmod 700" in refused(tmp_path / "arena")


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "arena").symlink_to(tmp_path / "real")

    assert "symbolic link" in refused(tmp_path / "arena")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arena").write_text("")

    assert "not a folder" in refused(tmp_path / "arena")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arena").mkdir(mode=0o700)
    os.chown(tmp_path / "arena", 12345, -1)

    assert "12345" in refused(tmp_path / "arena")


@pytest.mark.parametrize("content", [b"", b"a.b", b"\xff\xfe", b"x" * 300])
def test_a_damaged_id_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "arena").mkdir(mode=0o700)
    (tmp_path / "arena" / "id").write_bytes(content)
    (tmp_path / "arena" / "id").chmod(0o600)

    assert "damaged" in refused(tmp_path / "arena")


def test_an_id_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arena").mkdir(mode=0o700)
    (tmp_path / "arena" / "id").write_text("host-1")
    (tmp_path / "arena" / "id").chmod(0o644)

    assert "mode 0600" in refused(tmp_path / "arena")


def test_a_file_system_that_may_not_be_written_can_be_read_and_says_so(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 16 << 20) as disk:
            settings = ArenaSettings(disk.path / "arena")
            before = Arena.open(settings)
            ref = before.write("bytes", [b"abc"], run="r")
            before.close()
            disk.forbid_writing()

            arena = Arena.open(settings)
            assert arena.view(ref) == b"abc"
            for use in (arena.must_be_writable, lambda: arena.write("bytes", [b"abc"], run="r")):
                with pytest.raises(ArenaUnusable, match="read-only"):
                    use()
            arena.close()
    except Missing as missing:
        pytest.skip(str(missing))


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    refused(tmp_path / "file" / "arena")


def test_a_folder_that_vanished_is_said_to_be_gone(arena: Arena) -> None:
    (arena.settings.folder / "id").unlink()
    arena.settings.folder.rmdir()

    with pytest.raises(ArenaUnusable, match="no such file"):
        arena.write("bytes", [b"abc"], run="r")


def test_foreign_things_in_the_folder_are_in_nobodys_way(arena: Arena) -> None:
    folder = arena.settings.folder
    (folder / "x-1.seg").mkdir()
    (folder / "y-1.seg").symlink_to("/dev/zero")
    (folder / "z-1.seg").write_bytes(os.urandom(10_000))
    (folder / "z-2.seg").write_bytes(b"")
    (folder / "notes.txt").write_text("hello")
    os.mkfifo(folder / "p-1.seg")

    assert arena.view(arena.write("bytes", [b"abc"], run="r")) == b"abc"
