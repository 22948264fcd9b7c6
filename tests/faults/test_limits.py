"""F26, F27: what a machine does not give is said when a process starts, in one line and with an exit code, or does not matter.

The server's own limits are in `tests/server/test_server_command.py`: open files, a port in use, a folder in use.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jetfleet.broker.server.ports import free_port

from ..fleet.children import Child, order
from ..fleet.running import run
from ..fleet.trouble import until
from .machine.allowance import LOWERED, NOBODY, OPEN_FILES, USER
from .machine.needs import Missing
from .machine.small_disk import small_disk

START_S = 60
KEEPERS = {"worker": "ARENA_UNUSABLE", "reader": "READ_MODEL_UNWRITABLE"}
"""Processes that keep something in their folder which they cannot be without, and how they say so."""


def started(folder: Path, *arguments: str, **allowance: str) -> Child:
    return Child(arguments[0], order(folder / "said", *arguments, environment=allowance, wrappers=[LOWERED]))


def refused(folder: Path, *arguments: str, **allowance: str) -> str:
    """The one line that a command ends with; it must fail, and not by a traceback."""
    child = started(folder, *arguments, **allowance)
    code = run(child.ended(START_S), START_S + 5)
    assert code == 1 and "Traceback" not in child.last_lines(100), (code, child.last_lines())
    return child.last_lines(1)


@pytest.mark.parametrize("role", KEEPERS)
def test_a_folder_that_cannot_be_written_is_named(role: str, nats_url: str, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1 << 20) as disk:
            disk.forbid_writing()
            said = refused(tmp_path, role, "--nats", nats_url, "--data", str(disk.path / "data"))
    except Missing as missing:
        pytest.skip(str(missing))
    assert said.startswith(f"error: {KEEPERS[role]}") and "read-only file system" in said.lower() and str(disk.path) in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("role", KEEPERS)
def test_a_folder_of_somebody_else_is_named(role: str, nats_url: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    theirs = tmp_path / "data"
    theirs.mkdir(mode=0o700)
    said = refused(tmp_path, role, "--nats", nats_url, "--data", str(theirs), **{USER: str(NOBODY)})
    assert said.startswith(f"error: {KEEPERS[role]}") and "permission denied" in said.lower() and str(theirs) in said


@pytest.mark.parametrize("role", KEEPERS)
def test_a_folder_on_a_full_disk_is_named(role: str, nats_url: str, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1 << 20) as disk:
            disk.fill()
            said = refused(tmp_path, role, "--nats", nats_url, "--data", str(disk.path))
    except Missing as missing:
        pytest.skip(str(missing))
    assert said.startswith("error: ") and "INTERNAL" not in said, said


def test_a_port_in_use_is_named(nats_url: str, tmp_path: Path) -> None:
    taken = nats_url.rpartition(":")[2]
    said = refused(tmp_path, "coordinator", "--nats", nats_url, "--data", str(tmp_path), "--metrics-port", taken)
    assert said.startswith("error: METRICS_ADDRESS") and taken in said


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "coordinator", "--nats", f"nats://127.0.0.1:{free_port()}", "--data", str(tmp_path))
    assert said.startswith("error: BROKER_UNREACHABLE")


@pytest.mark.parametrize("files", [64, 20, 12])
def test_few_open_files_are_enough_or_named(files: int, nats_url: str, tmp_path: Path) -> None:
    """A worker needs the most: connections, its ledger, the arena's segments, pipes to its processes."""
    child = started(tmp_path, "worker", "--nats", nats_url, "--data", str(tmp_path), **{OPEN_FILES: str(files)})

    said_in = Path(child.order["log"])

    def is_up() -> bool:
        return said_in.exists() and "worker is up" in child.last_lines(100)

    async def test() -> None:
        await until(lambda: is_up() or not child.alive, "it is up or has given up", START_S)
        if child.alive:
            child.ask_to_end()
        assert await child.ended(START_S) == (0 if is_up() else 1), child.last_lines(100)

    run(test(), 2 * START_S)
    said = child.last_lines(100)
    assert "Traceback" not in said and "INTERNAL" not in said
    assert is_up() or any(line.startswith("error: ") for line in said.splitlines()), said
