"""How changes come to be known, and what is done where the system does not tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jetfleet.triggers.filesystem.folder import Folder
from jetfleet.triggers.filesystem.inotify import Inotify
from jetfleet.triggers.filesystem.watcher import Watcher, is_remote

from ...fleet.running import run
from .watched import watched

NO_MORE = """
import os, sys
from jetfleet.triggers.filesystem.folder import Folder
from jetfleet.triggers.filesystem.inotify import Inotify, NoMoreWatches
from jetfleet.triggers.filesystem.watcher import Watcher
os.setgroups([]); os.setgid(64000); os.setuid(64000)
taken = []
try:
    while len(taken) < 100_000:
        taken.append(Inotify([]))
except NoMoreWatches:
    pass
watcher = Watcher([Folder.at("/tmp")], "native", 1_000)
print(watcher.is_native, watcher.fd, watcher.polls)
"""


def test_where_the_system_allows_no_more_watchers_it_polls_and_says_so() -> None:
    if os.geteuid() != 0:
        pytest.skip("only who may become another user can use up what that user may have")
    # In a process and for a user of its own: others on this machine watch too.
    said = subprocess.run([sys.executable, "-c", NO_MORE], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "False None no further watcher" in said and "max_user_instances" in said


def test_where_no_folder_more_can_be_watched_it_goes_on_by_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jetfleet.triggers.filesystem.inotify import NoMoreWatches

    added: list[str] = []

    def add(self: Inotify, folder: int, path: str) -> None:
        added.append(path)
        if len(added) > 2:
            raise NoMoreWatches("the system's limit of watches is reached (fs.inotify.max_user_watches)")
        plain(self, folder, path)

    plain = Inotify.add
    monkeypatch.setattr(Inotify, "add", add)

    async def test() -> None:
        (tmp_path / "in" / "a" / "b").mkdir(parents=True)
        async with watched(tmp_path, recursive=True, poll_ms=40) as one:
            assert "polling every 40 ms, as the system's limit of watches is reached" in one.source.status()
            one.write("a/b/c.csv")
            one.write("d.csv")
            await one.fired(2)

    run(test())


def test_what_the_system_drops_it_says(tmp_path: Path) -> None:
    notify = Inotify([str(tmp_path)])
    try:
        fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        notify.add(fd, str(tmp_path))
        os.close(fd)
        (tmp_path / "a.csv").touch()
        hints = notify.take()
        assert hints.files == {str(tmp_path / "a.csv")} and not hints.lost
        other = os.open(tmp_path / "b.csv", os.O_WRONLY | os.O_CREAT)
        for _ in range(9_000):  # equal ones that follow each other count once
            os.utime(tmp_path / "a.csv")
            os.utime(other)
        os.close(other)
        assert notify.take().lost
        assert not notify.take().lost
    finally:
        notify.close()


def test_file_systems_of_this_host_are_not_polled(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path.resolve()))
    assert not is_remote(folder)
    watcher = Watcher([folder], "auto", 1_000)
    assert watcher.is_native and watcher.polls == ""
    watcher.close()
    assert Watcher([folder], "poll", 1_000).fd is None
