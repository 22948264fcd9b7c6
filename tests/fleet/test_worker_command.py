"""`jetfleet worker`: what it refuses to start with, how it ends, and how it takes in new code."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from jetfleet.broker.client import opening
from jetfleet.broker.server.ports import free_port
from jetfleet.schemas.cli import main

from .running import run
from .task_owner import output, owner, task
from .trouble import until
from .worker_processes import worker_process


def executions(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_it_ends_cleanly_when_asked_and_finishes_what_it_has(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet:
            with worker_process(fresh_url, tmp_path / "data") as one:
                await fleet.give([task("gated", "r", value)])
                await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
                one.ask_to_end()
                await until(lambda: "takes no more tasks" in one.log.read_text(), "it is quiet")
                assert one.alive
                (tmp_path / "gate").touch()
                await fleet.ends("r")
                assert one.wait(10) == 0
                await fleet.none_left()

    run(test())


def test_a_second_signal_makes_it_give_back_what_it_has_at_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "never")}
        async with owner(fresh_url, ack_wait_s=600) as fleet:
            with worker_process(fresh_url, tmp_path / "data", "--stop-within", "600") as one:
                await fleet.give([task("gated", "r", value)])
                await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
                one.ask_to_end()
                await until(lambda: "takes no more tasks" in one.log.read_text(), "it is quiet")
                assert one.end() == 0
            with worker_process(fresh_url, tmp_path / "data"):
                await until(lambda: executions(tmp_path / "log") == ["r", "r"], "the next one has it")

    run(test())


def test_changed_nodes_are_taken_in(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        nodes = tmp_path / "own.py"
        code = "from jetfleet.workers import node\n@node('t.double', mode='inline')\ndef double(value):\n    return {}\n"
        nodes.write_text(code.format("'one'"))
        async with owner(fresh_url) as fleet:
            with worker_process(fresh_url, tmp_path / "data", "--reload", nodes=str(nodes)) as one:
                await fleet.give([task("double", "a")])
                assert output((await fleet.ends("a"))[0]) == "one"
                nodes.write_text("def broken(:\n")
                await until(lambda: "not reloaded" in one.log.read_text(), "the broken file is refused")
                nodes.write_text(code.format("'two'"))
                await until(lambda: one.log.read_text().count("worker is up") == 2, "started anew")
                await fleet.give([task("double", "b")])
                assert output((await fleet.ends("b"))[0]) == "two"
                assert one.end() == 0

    run(test())


def test_without_a_server_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_S", 0.2)
    port = free_port()
    assert main(["worker", "--nats", f"nats://127.0.0.1:{port}", "--data", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "BROKER_UNREACHABLE" in told and str(port) in told and "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "no/such/file.py"], "no/such/file.py"),
        (["--slot", "../etc"], "the slot '../etc' becomes part of a file's name"),
        (["--concurrency", "0"], "--concurrency"),
        (["--arena-max", "0"], "'0' is too small for large values; say at least 1.0 MiB"),
        (["--arena-run-max", "64KiB"], "'64KiB' is too small for large values; say at least 1.0 MiB"),
        (["--arena-max", "much"], "'much' is no size"),
        (["--arena-keep", "nan"], "nan is no time"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_two_workers_cannot_share_a_slot(fresh_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with worker_process(fresh_url, tmp_path, "--slot", "a") as one:
        run(until(lambda: "worker is up" in one.log.read_text(), "the first one is up"))
        assert main(["worker", "--nats", fresh_url, "--data", str(tmp_path), "--slot", "a"]) == 1
        assert "SLOT_TAKEN another worker runs in slot a" in capsys.readouterr().err


def test_it_says_over_http_whether_it_takes_tasks(fresh_url: str, tmp_path: Path) -> None:
    port = free_port()
    with worker_process(fresh_url, tmp_path, "--metrics-port", str(port)) as one:
        run(until(lambda: "worker is up" in one.log.read_text(), "it is up"))
        assert json.load(urlopen(f"http://127.0.0.1:{port}/readyz"))
        assert b"jetfleet_slots 64" in urlopen(f"http://127.0.0.1:{port}/metrics").read()
