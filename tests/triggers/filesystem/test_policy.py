"""Which paths a trigger may watch, and that no link leads out of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from jetfleet.broker.triggers.source import SourceFailed
from jetfleet.triggers.filesystem.folder import Folder
from jetfleet.triggers.filesystem.policy import ALLOW, PathNotAllowed, PathPolicy

from ...fleet.running import run
from ...fleet.trouble import until
from .watched import watched

USUAL = PathPolicy()


@pytest.mark.parametrize("path", ["/tmp/in", "/var/tmp", "/data/a/b", "/srv/x", "/opt/x", "/usr/local/share/x", "/var/data/x"])
def test_places_where_data_is_kept_may_be_watched(path: str) -> None:
    assert USUAL.canonical(path) == os.path.realpath(path)


@pytest.mark.parametrize(
    "path",
    ["/etc", "/etc/passwd", "/root/x", "/proc/self", "/sys", "/dev/shm", "/boot", "/var/log/x", "/var/lib/dpkg", "/var/lib/rpm",
     "/home/ada/.ssh", "/home/ada/.ssh/keys", "/var/lib/private", "/", "/usr/bin", "/home", "/tmpfoo"],
)  # fmt: skip
def test_places_of_the_system_may_not(path: str) -> None:
    with pytest.raises(PathNotAllowed, match=ALLOW):
        USUAL.canonical(path)


@pytest.mark.parametrize("path", ["/tmp/../etc", "/tmp/a/..", "/tmp/a\0b"])
def test_paths_that_lead_back_or_end_early_are_refused_as_they_are_written(path: str) -> None:
    with pytest.raises(PathNotAllowed, match="write the path of the folder itself"):
        USUAL.canonical(path)


def test_a_list_of_what_is_allowed_decides_alone() -> None:
    policy = PathPolicy.of_process({ALLOW: "/etc/spool:/mnt/in"})
    assert policy.canonical("/etc/spool/a") == "/etc/spool/a"
    for path in ("/tmp/in", "/etc", "/etc/spooler"):
        with pytest.raises(PathNotAllowed, match="add its folder"):
            policy.canonical(path)


def test_the_home_and_the_current_folder_may_be_watched_but_not_what_is_blocked_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.chdir(tmp_path)
    policy = PathPolicy.of_process({})
    assert policy.canonical("/home/ada/inbox") == "/home/ada/inbox"
    assert policy.canonical("inbox") == str(tmp_path.resolve() / "inbox")
    with pytest.raises(PathNotAllowed, match="blocked"):
        policy.canonical("/home/ada/.ssh")


def test_a_path_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")

    async def test() -> None:
        async with watched(tmp_path, paths=[str(tmp_path / "link" / "ssl")]) as one:
            with pytest.raises(PathNotAllowed, match="that is /etc/ssl"):
                await one.fired(1)

    run(test())


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path, paths=[str(tmp_path / "later")]) as one:
            with pytest.raises(SourceFailed, match="not there yet"):
                await one.fired(1)

    run(test())


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("secret")

    async def test() -> None:
        async with watched(tmp_path, recursive=True, content="text") as one:
            (one.folder / "folder").symlink_to(outside)
            (one.folder / "file.csv").symlink_to(outside / "secret.csv")
            (one.folder / "gone.csv").symlink_to(outside / "nothing")
            one.write("real.csv", "mine")
            assert [(payload["name"], payload["content"]) for payload in await one.fired(1)] == [("real.csv", "mine")]
            (outside / "secret.csv").write_text("more secrets")
            await one.nothing_more()

    run(test())


def test_a_name_that_becomes_a_link_while_it_is_looked_at_leads_nowhere(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "a.csv").write_text("mine")
    outside.mkdir()
    (outside / "a.csv").write_text("secret")
    folder = Folder.at(str(inside.resolve()))
    path = f"{folder.path}/sub/a.csv"
    with folder.view() as view:
        (inside / "sub").rename(inside / "was")
        (inside / "sub").symlink_to(outside)
        assert view.look(path) is None
        with pytest.raises(OSError) as raised:
            view.place(path)
        assert raised.value.errno in (errno.ELOOP, errno.ENOTDIR)
    inside.rename(tmp_path / "was")
    inside.symlink_to(outside)
    with pytest.raises(SourceFailed), folder.view():
        pass


def test_a_folder_that_another_takes_the_place_of_is_not_taken_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with watched(tmp_path) as one:
            one.folder.rename(tmp_path / "was")
            one.folder.mkdir()
            await until(lambda: one.failed is not None, "a source that fails")
            assert "another folder" in str(one.failed)

    run(test())
