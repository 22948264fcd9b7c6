"""`jetfleet arena` and `jetfleet payload` on an arena's folder alone: no fleet, no server."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tty
from pathlib import Path

import pytest

from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.schemas.cli import FAILED, USAGE
from jetfleet.schemas.ref import Ref

from ..fleet.commands import Cli, cli_of

MAIN = "import sys; from jetfleet.schemas.cli import main; sys.exit(main(sys.argv[1:]))"
TEXT = b"plain text\n" * 1_000


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command; its data folder is the test's folder."""
    monkeypatch.setenv("JETFLEET_DATA", str(tmp_path))
    monkeypatch.delenv("JETFLEET_NATS", raising=False)
    monkeypatch.delenv("JETFLEET_ARENA", raising=False)

    return cli_of(capfd)


@pytest.fixture
def refs(tmp_path: Path) -> list[Ref]:
    """Three entries of two runs, in an arena whose writer has ended."""
    arena = Arena.open(ArenaSettings(tmp_path / "arena"))
    made = [arena.write("bytes", [body], run=run) for run, body in (("a-1", TEXT), ("b-2", b"\x00" * 5_000), ("b-2", b"x"))]
    arena.close()
    return made


def segment_of(tmp_path: Path, ref: Ref) -> Path:
    return tmp_path / "arena" / f"{ref.segment}.seg"


def test_the_figures_of_an_arena(cli: Cli, refs: list[Ref]) -> None:
    (stats,) = cli("arena", "stats", "-o", "json").rows
    assert (stats["host"], stats["entries"], stats["runs"], stats["held_bytes"]) == (refs[0].host, 3, 2, 16_001)
    assert stats["largest_runs"] == [{"run": "a-1", "bytes": 11_000}, {"run": "b-2", "bytes": 5_001}]
    assert not stats["kept"]


def test_people_read_the_figures_in_lines(cli: Cli, refs: list[Ref]) -> None:
    lines = cli("arena", "stats", "--arena-max", "1GiB").out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names[:7] == ["host", "folder", "used", "segments", "entries", "runs", "keeper"]
    assert "of 1.0 GiB" in lines[2]
    assert lines[7].split() == ["10.7", "KiB", "a-1"]


def test_whoever_keeps_the_arena_is_seen(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    keeper = Keeper(ArenaSettings(tmp_path / "arena"))
    assert keeper.acquire()
    try:
        assert cli("arena", "stats", "-o", "json").rows[0]["kept"]
    finally:
        keeper.release()


def test_entries_are_listed_in_the_order_in_which_they_were_written(cli: Cli, refs: list[Ref]) -> None:
    assert [row["ref"] for row in cli("arena", "ls", "-o", "json").rows] == [str(ref) for ref in refs]
    assert [row["bytes"] for row in cli("arena", "ls", "--run", "b-2", "-o", "json").rows] == [5_000, 1]
    assert len(cli("arena", "ls").out.splitlines()) == 4


def test_a_run_that_holds_nothing_has_no_entries(cli: Cli, refs: list[Ref]) -> None:
    said = cli("arena", "ls", "--run", "c-3")
    assert (said.code, said.out, said.err) == (0, "", "no entries\n")


def test_the_folder_may_be_named_itself(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    assert cli("arena", "ls", "--segments", "--arena", str(tmp_path / "arena"), "-o", "json").rows[0]["entries"] == 3


def test_what_keeps_a_segment_from_being_freed_is_seen(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    arena = Arena.open(ArenaSettings(tmp_path / "arena"))
    view = arena.view(refs[0])
    [row] = cli("arena", "ls", "--segments", "-o", "json").rows
    assert row["pinned_by"] == [{"run": "a-1", "entries": 1, "bytes": 11_000}, {"run": "b-2", "entries": 2, "bytes": 5_001}]
    assert row["pids"] == ([os.getpid()] if sys.platform == "linux" else [])
    assert "a-1 and 1 more" in cli("arena", "ls", "--segments").out
    del view
    assert cli("arena", "ls", "--segments", "-o", "json").rows[0]["pids"] == []
    arena.close()


def test_the_limit_is_the_one_that_the_keeper_was_given(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    keeper = Keeper(ArenaSettings(tmp_path / "arena", max_bytes=64 << 20))
    assert keeper.acquire()
    assert cli("arena", "stats", "-o", "json").rows[0]["limit_bytes"] == 64 << 20
    keeper.release()


@pytest.mark.parametrize("command", [("stats",), ("ls",), ("verify",), ("gc",)])
def test_where_there_is_no_arena_none_is_made(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    said = cli("arena", *command)
    assert (said.code, "--arena DIR" in said.err) == (USAGE, True)
    assert list(tmp_path.iterdir()) == []


def test_an_arena_that_others_may_look_into_is_refused(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    (tmp_path / "arena").chmod(0o755)
    said = cli("arena", "stats")
    assert (said.code, "ARENA_UNUSABLE" in said.err, "chmod 700" in said.err) == (FAILED, True, True)


def test_what_is_whole_is_verified_without_a_word(cli: Cli, refs: list[Ref]) -> None:
    said = cli("arena", "verify", "-o", "json")
    assert (said.code, said.out) == (0, "")
    assert said.err == "3 entries with 15.6 KiB in 1 segments: all right\n"


def test_a_flipped_bit_is_found_and_its_run_named(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    file = segment_of(tmp_path, refs[1])
    data = bytearray(file.read_bytes())
    data[refs[1].offset + 17] ^= 1
    file.write_bytes(data)
    said = cli("arena", "verify", "-o", "json")
    assert said.code == FAILED
    assert [(row["offset"], row["run"]) for row in said.rows] == [(refs[1].offset, "b-2")]
    assert "do not match their checksum" in cli("arena", "verify").out
    corrupt = cli("payload", "cat", str(refs[1]))
    assert (corrupt.code, corrupt.out, "PAYLOAD_CORRUPT" in corrupt.err) == (FAILED, "", True)
    assert cli("payload", "cat", str(refs[0])).out == TEXT.decode()


def test_without_a_fleet_only_what_the_dead_left_is_freed(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    (tmp_path / "arena" / "gone-1.new").write_bytes(b"")
    (tmp_path / "arena" / "gone-1.new").chmod(0o600)
    said = cli("arena", "gc", "-o", "json")
    assert "without --nats" in said.err
    (swept,) = said.rows
    assert (swept["freed"], swept["needed"], swept["removed"]) == (0, 1, 1)
    assert cli("payload", "cat", str(refs[0])).out == TEXT.decode()


def test_two_do_not_free_at_a_time(cli: Cli, refs: list[Ref], tmp_path: Path) -> None:
    keeper = Keeper(ArenaSettings(tmp_path / "arena"))
    assert keeper.acquire()
    try:
        said = cli("arena", "gc")
    finally:
        keeper.release()
    assert (said.code, "keeps the arena" in said.err) == (USAGE, True)


# --- onto a terminal


def on_terminal(*args: str) -> tuple[int, bytes, str]:
    """Of a command in a process of its own: exit code, what it wrote onto its terminal, and what to standard error."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # lines end as they were written
    process = subprocess.Popen([sys.executable, "-c", MAIN, *args], stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65_536)
        except OSError:  # the other end was closed
            break
    os.close(ours)
    _, errors = process.communicate(timeout=30)
    return process.returncode, said, errors


def test_bytes_that_are_no_text_do_not_go_onto_a_terminal(refs: list[Ref], tmp_path: Path) -> None:
    at = ("--data", str(tmp_path))
    code, said, errors = on_terminal("payload", "cat", str(refs[1]), *at)
    assert (code, said, "--raw" in errors) == (USAGE, b"", True)
    assert on_terminal("payload", "cat", str(refs[1]), "--raw", *at) == (0, bytes(5_000), "")
    assert on_terminal("payload", "cat", str(refs[0]), *at) == (0, TEXT, "")
