"""F26, F27: what a machine does not give is said when a process starts, in one line and with an exit code, or does not matter.

The server's own limits are in `tests/server/test_server_command.py`: open files, a port in use, a folder in use.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jetfleet.broker.server.ports import free_port

from .machine.needs import Missing
from .machine.small_disk import small_disk

START_S = 40
MAIN = ["-c", "import sys; from jetfleet.schemas.cli import main; sys.exit(main(sys.argv[1:]))"]
KEEPERS = {"worker": "ARENA_UNUSABLE", "reader": "READ_MODEL_UNWRITABLE"}
"""Processes that keep something in their folder which they cannot be without, and how they say so."""


def refused(*arguments: str) -> str:
    """The one line that a command ends with; it must fail, and not by a traceback."""
    done = subprocess.run([sys.executable, *MAIN, *arguments], capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("role", KEEPERS)
def test_a_folder_that_cannot_be_written_is_named(role: str, nats_url: str, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1 << 20) as disk:
            disk.forbid_writing()
            said = refused(role, "--nats", nats_url, "--data", str(disk.path / "data"))
    except Missing as missing:
        pytest.skip(str(missing))
    assert said.startswith(f"error: {KEEPERS[role]}") and "read-only file system" in said.lower() and str(disk.path) in said


@pytest.mark.parametrize("role", KEEPERS)
def test_a_folder_on_a_full_disk_is_named(role: str, nats_url: str, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1 << 20) as disk:
            disk.fill()
            said = refused(role, "--nats", nats_url, "--data", str(disk.path))
    except Missing as missing:
        pytest.skip(str(missing))
    assert said.startswith("error: ") and "INTERNAL" not in said, said


def test_a_port_in_use_is_named(nats_url: str, tmp_path: Path) -> None:
    taken = nats_url.rpartition(":")[2]
    said = refused("coordinator", "--nats", nats_url, "--data", str(tmp_path), "--metrics-port", taken)
    assert said.startswith("error: METRICS_ADDRESS") and taken in said


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refused("coordinator", "--nats", f"nats://127.0.0.1:{free_port()}", "--data", str(tmp_path))
    assert said.startswith("error: BROKER_UNREACHABLE")


@pytest.mark.parametrize("files", [64, 12])
def test_few_open_files_are_enough_or_named(files: int, nats_url: str, tmp_path: Path) -> None:
    """A worker needs the most: connections, its ledger, the arena's segments, pipes to its processes."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, *MAIN, "worker", "--nats", nats_url, "--data", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=few)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "worker is up" in line:
            process.terminate()
    assert process.wait(START_S) == (0 if any("worker is up" in line for line in lines) else 1), lines
    assert not any("Traceback" in line for line in lines)
    assert lines[-1].startswith(("{", "error: ")) and "INTERNAL" not in lines[-1], lines
