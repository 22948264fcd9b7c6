"""`jetfleet server`, as a process: its screen, its end, and the end of its parent."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nats
import pytest

from jetfleet.broker.fleet.process import start_ticks
from jetfleet.broker.server.ports import free_port
from jetfleet.schemas.cli import main

from ..fleet.running import run

COMMAND = [sys.executable, "-c", "import sys; from jetfleet.schemas.cli import main; sys.exit(main())", "server"]
DEADLINE_S = 20


class Running(NamedTuple):
    process: subprocess.Popen[str]
    screen: dict[str, str]

    @property
    def url(self) -> str:
        return self.screen["server"].split()[0]

    @property
    def pid(self) -> int:
        """Of the nats-server."""
        found = re.search(r"pid (\d+)", self.screen["server"])
        assert found is not None
        return int(found[1])

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors


@contextmanager
def running(*options: str | Path) -> Iterator[Running]:
    process = subprocess.Popen([*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(process, read_screen(process))
    finally:
        process.kill()
        process.communicate()


def read_screen(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None and process.stderr is not None
    screen: dict[str, str] = {}
    for line in process.stdout:
        if line.startswith("Ctrl-C"):
            return screen
        name, _, text = line.rstrip("\n").partition(" ")
        screen[name] = text.strip()
    raise AssertionError(process.stderr.read())


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while start_ticks(pid) is not None:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.005)  # it is no child of ours, so nothing wakes us


async def publish(url: str) -> int:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    sequence = (await stream.publish("kept", b"1")).seq
    await client.close()
    return sequence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_says_where_it_is_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running("--data", tmp_path / "data", "--sync", "1s", "--max-store", "1.5GiB") as server:
        assert server.screen["data"] == f"{tmp_path / 'data'}   kept"
        assert server.screen["store"] == "up to 1.5 GiB   a power cut loses up to 1s (--sync 1s)"
        assert server.screen["monitor"].startswith("http://127.0.0.1:")
        assert run(publish(server.url)) == 1
        assert server.end(number) == (0, "server   stopped\n")
        assert start_ticks(server.pid) is None


def test_ctrl_c_in_the_terminal_does_not_end_the_server_before_us(tmp_path: Path) -> None:
    with running("--data", tmp_path) as server:
        assert os.getsid(server.pid) != os.getsid(server.process.pid)


def test_a_server_whose_parent_is_killed_goes_too_and_the_next_one_finds_what_it_kept(tmp_path: Path) -> None:
    with running("--data", tmp_path) as server:
        assert run(publish(server.url)) == 1
        server.end(signal.SIGKILL)
        with running("--data", tmp_path) as another:  # at once: it waits until the folder is free
            assert start_ticks(server.pid) is None
            assert run(publish(another.url)) == 2


def test_a_temporary_folder_goes_too_when_its_owner_is_killed() -> None:
    with running("--ephemeral") as server:
        folder = Path(server.screen["data"].split("   ")[0])
        assert folder.is_dir()
        server.end(signal.SIGKILL)
        wait_until_gone(server.pid)
        deadline = time.monotonic() + DEADLINE_S
        while folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)  # the guard is no child of ours, so nothing wakes us


def test_one_that_is_killed_comes_back_while_the_command_goes_on(tmp_path: Path) -> None:
    with running("--data", tmp_path) as server:
        assert run(publish(server.url)) == 1
        os.kill(server.pid, signal.SIGKILL)
        wait_until_gone(server.pid)
        assert run(publish_when_up(server.url)) == 2
        code, errors = server.end(signal.SIGINT)
    assert (code, "the server died; it is started again" in errors) == (0, True)


async def publish_when_up(url: str) -> int:
    client = await nats.connect(url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, error_cb=silent)
    await client.close()
    return await publish(url)


async def silent(error: Exception) -> None:
    """Refused connections are what is waited through."""


def test_a_folder_in_use_is_refused_with_the_process_that_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running("--data", tmp_path) as server:
        assert main(["server", "--data", str(tmp_path), "--port", "0"]) == 1
        assert capsys.readouterr().err == (
            f"error: DATA_IN_USE {tmp_path} is in use by process {server.process.pid}; "
            "connect to that server, end it, or choose another folder with --data\n"
        )


def test_a_port_in_use_is_refused_with_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as squatter:
        port = free_port()
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        assert main(["server", "--data", str(tmp_path), "--port", str(port)]) == 1
    said = f"error: PORT_IN_USE something else listens on 127.0.0.1:{port} already; end it, or choose another port with --port"
    assert said in capsys.readouterr().err


def test_too_few_open_files_are_refused_before_the_store_is_opened(tmp_path: Path) -> None:
    limited = ["/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND, "--data", tmp_path / "data"]
    answer = subprocess.run(limited, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (answer.returncode, answer.stderr) == (
        1,
        "error: TOO_FEW_FILES a process may open 64 files here (ulimit -Hn), and the server needs 512; raise the limit\n",
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--data", "/dev/null"], 1, "error: DATA_NOT_WRITABLE /dev/null cannot hold the server's data: it is no folder"),
        (["--port", "123456"], 2, "error: USAGE port 123456: ports go from 1 to 65535"),
        (["--max-store", "lots"], 2, "'lots' is no size; say 10GB, 512MiB, or a number of bytes"),
        (["--max-store", "1MB"], 2, "error: USAGE a store of 1000000 bytes: at least 268435456 bytes (256 MiB) are needed"),
        (["--sync", "sometimes"], 2, "error: USAGE sync 'sometimes': say `always`, or a duration"),
        (["--token", "in valid"], 2, "error: USAGE tokens, users and passwords consist of"),
        (["--host", "203.0.113.7", "--port", "0", "--ephemeral"], 1, "error: SERVER_FAILED nothing can listen on 203.0.113.7"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", *options]) == code
    assert said in capsys.readouterr().err


def test_without_a_binary_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JETFLEET_NATS_SERVER", "/nowhere/nats-server")
    assert main(["server", "--ephemeral"]) == 1
    assert capsys.readouterr().err.startswith("error: SERVER_NOT_FOUND JETFLEET_NATS_SERVER names /nowhere/nats-server")


def test_the_configuration_can_be_had_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "not yet"
    assert main(["server", "--config-only", "--data", str(folder), "--max-store", "1GB"]) == 0
    config = capsys.readouterr().out
    assert f'store_dir: "{folder}", sync_interval: "always"' in config
    assert "max_file_store: 1000000000" in config
    assert not folder.exists()
