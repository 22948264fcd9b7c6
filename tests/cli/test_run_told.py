"""What `jetfleet run` tells about failures and interruptions, so that a person knows what to do next."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from ..fleet.commands import Cli, Said, cli_of

Run: TypeAlias = Callable[..., Said]
JETFLEET = str(Path(sys.executable).with_name("jetfleet"))

NODES = """
import asyncio
from jetfleet.workers import node

@node("my.reserve")
def reserve(v): return {}

@node("my.release")
def release(v): return v["gone"]

@node("my.steer")
def steer(v):
    raise ValueError("\\x1b[31mred\\nrun x completed")

@node("my.stubborn")
async def stubborn(v):
    print("begun", flush=True)
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            pass
"""
ASK = "name: ask\nnodes: {ask: {type: std::wait, config: {hook_id: order, timeout_secs: 3600}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(NODES)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


@pytest.fixture
def run(cli: Cli) -> Run:
    def run(flow: str, *args: str) -> Said:
        Path("flow.yaml").write_text(flow)
        return cli("run", "flow.yaml", "--local", "--nodes", "own.py", *args)

    return run


def test_what_could_not_be_undone_is_listed_below_the_error(run: Run) -> None:
    said = run(
        "name: f\nnodes:\n  r: {type: my.reserve, compensate: u}\n  u: {type: my.release}\n"
        "  f: {type: std::raise, config: {type: boom, message: m}}\nedges: [{from: r, to: f}]\n"
    )
    assert said.out.endswith("error: boom at f: m\nnot undone: u (undoes r): KeyError: 'gone'\n")
    assert re.search(r"a compensation failed .*undoes=r", said.err)


def test_an_exception_is_told_with_its_place_and_without_steering_the_terminal(run: Run) -> None:
    said = run("name: f\nnodes: {a: {type: my.steer}}\n")
    line = NODES.splitlines().index('    raise ValueError("\\x1b[31mred\\nrun x completed")') + 1
    assert "error: ValueError at a: \\x1b[31mred\\nrun x completed\n" in said.out
    assert re.search(rf"\n    at .*own\.py:{line} in steer\n", said.out)
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ('order={"decision": "approvd"}', "signal order was ignored: 'approvd' is no decision; write approve, reject or escalate\n"),
        ('order={"answer": 1}', "signal order was ignored: an answer without a `decision` is no decision; write approve"),
        ('ordre={"decision": "approve"}', "nothing waited for signal ordre\n"),
    ],
)
def test_a_signal_that_moved_nothing_is_told(run: Run, sent: str, told: str) -> None:
    assert told in run(ASK, "--virtual-time", "--signal", sent).err


def test_a_signal_that_does_not_fit_its_schema_is_told_with_its_place(run: Run) -> None:
    flow = "name: f\nnodes: {w: {type: std::wait, config: {signal: n, timeout_ms: 1, schema: {properties: {x: {type: integer}}}}}}\n"
    told = run(flow, "--virtual-time", "--signal", 'n={"x": "five"}').err
    assert told == 'signal n was ignored: x: "five" is not of type "integer"\n'


def test_nothing_is_told_of_a_signal_that_was_heard(run: Run) -> None:
    assert run(ASK, "--signal", 'order={"decision": "approve"}').err == ""


def test_ctrl_c_ends_even_a_node_that_swallows_it_and_says_what_was_left_done() -> None:
    Path("flow.yaml").write_text("name: f\nnodes: {r: {type: my.reserve}, a: {type: my.stubborn}}\nedges: [{from: r, to: a}]\n")
    command = [JETFLEET, "run", "flow.yaml", "--local", "--nodes", "own.py", "--run-id", "r1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "interrupted: run r1 had completed r, it was not undone")


def test_ctrl_c_in_a_file_of_events_says_how_many_were_run() -> None:
    Path("flow.yaml").write_text("name: f\nnodes: {a: {type: my.stubborn}}\n")
    Path("events.jsonl").write_text("1\n" * 500)
    command = [JETFLEET, "run", "flow.yaml", "--local", "--nodes", "own.py", "--input", "@events.jsonl", "--parallel", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "interrupted: 0 of 500 lines were run")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from jetfleet.workers import node\n\n@node\ndef charge(v): ...", "write `@node('shop.charge')`"),
        ("from jetfleet.workers import node\n\n@node('a.b', ports='out')\ndef f(v): ...", "write `ports=('out',)`"),
        ("from jetfleet.workers import node\n\n@node('a.b')\nclass F: ...", "a node is a function, not a class"),
        ("def f():\n    return 1 / 0\n\nf()", "broken.py:2)"),
    ],
)
def test_a_mistake_in_a_module_of_nodes_is_told_with_its_remedy(cli: Cli, text: str, told: str) -> None:
    Path("broken.py").write_text(text)
    said = cli("nodes", "--nodes", "broken.py")
    assert (said.code, said.err.startswith("error: USAGE ")) == (2, True)
    assert told in said.err


def test_a_module_without_nodes_is_warned_about(cli: Cli) -> None:
    Path("empty.py").write_text("")
    said = cli("nodes", "--nodes", "empty.py")
    assert said.code == 0
    assert said.err.startswith("warning: NODES there is no node in empty.py")


@pytest.mark.parametrize(("redirected", "code", "err"), [(">&-", 0, ""), ("> /dev/full", 1, "error: OUTPUT cannot write the output: ")])
def test_an_output_that_cannot_be_written_gives_no_traceback(redirected: str, code: int, err: str) -> None:
    said = subprocess.run(["sh", "-c", f"{JETFLEET} nodes {redirected}"], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr[: len(err)] == err, "Traceback" in said.stderr) == (code, True, False)
