"""Looking at one run: the tree with the reason why it does not move, and the journal with what each record changed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

import pytest

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES, flow
from .commands import Cli, sent, stands

CHILD = {"name": "child", "nodes": {"answer": {"type": "std::wait", "config": {"signal": "child"}}}}
WAITING = {"name": "waiting", "nodes": {"answer": {"type": "std::wait", "config": {"signal": "go"}}}}
BUSY = flow(
    "busy",
    {
        "pay": {"type": "f.picky", "retry": {"max_attempts": 3, "initial_delay_ms": 60, "jitter": False}},
        "lines": {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": 8}},
        "one": {"type": "f.echo"},
        "sub": {"type": "std::subflow", "config": {"flow": "child"}},
        "ask": {"type": "std::wait", "config": {"signal": "go", "timeout_secs": 3600}},
        "after": {"type": "std::raise", "config": {"type": "too_bad", "message": "no \x1b[31mway"}},
    },
    ["pay -> lines", "lines.item -> one", "lines.done -> sub", "lines.done -> ask", "ask -> after"],
)
EVENT = json.dumps({"fails": 1, "items": [{"n": n} for n in range(20)]})


@pytest.fixture(scope="module", autouse=True)
def flows(whole: BackgroundFleet) -> None:
    for each in (CHILD, WAITING, BUSY):
        whole.do(whole.fleet.client.deploy(each, nodes=[NODES]))


def waits_for(whole: BackgroundFleet, run: str, *reasons: str) -> None:
    """Until the run waits for just that."""

    async def look() -> None:
        while True:
            view = await whole.fleet.client.look(run)
            if view is not None and sorted(reason for _, reason, _, _ in view.blocked) == sorted(reasons):
                return

    whole.do(look())


def rows(text: str) -> list[list[str]]:
    """The cells of a tree's rows, without its branches."""
    return [re.split(r"  +", re.sub(r"^[ │├└─▷]+", "", line)) for line in text.partition("\n\n")[0].splitlines()[1:]]


def test_an_open_run_is_shown_as_a_tree_with_what_would_move_it(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "busy", EVENT)
    waits_for(whole, run, "child", "signal")
    stands(whole, f"{run}.sub", "running")
    shown = cli("runs", "show", run).out
    first = [(row[0], row[1]) for row in rows(shown)]
    assert first == [
        ("pay", "completed"),
        ("lines", "completed"),
        *[cell for n in (17, 18, 19) for cell in ((f"[{n}]", "completed"), ("one", "completed"))],
        ("… 17 more", "17 completed"),
        ("sub", "waiting"),
        ("child", "running"),
        ("ask", "waiting"),
        ("after", "pending"),
    ]
    pay = rows(shown)[0]
    assert "backoff 6" in pay[2] and pay[2].endswith(", 2 attempts")
    assert f"somebody sends the signal: jetfleet runs signal {run} go" in shown
    assert "waits: ask waits for the signal go, for 59 min" in shown
    full = [row[0] for row in rows(cli("runs", "show", run, "--full").out)]
    assert [f"[{n}]" for n in range(20)] == [name for name in full if name.startswith("[")]
    value = cli("runs", "show", run, "-o", "json").rows[0]
    assert value["children"][0] == {"run_id": f"{run}.sub", "flow": "child", "status": "running", "node": "sub", "children": []}
    pay_value = value["nodes"]["pay"]
    assert pay_value["backoff_ms"] >= 60 and pay_value["took_ms"] == sum(
        pay_value[f"{name}_ms"] for name in ("queued", "worked", "backoff", "waited")
    )
    assert len(value["waits"]) == len(value["moves"]) == 2

    listed = cli("runs", "list", f"id = {run}").out
    assert "ask waits for the signal go" in listed


def test_a_failed_run_says_which_node_and_why_and_its_children_are_in_the_tree(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "busy", EVENT)
    waits_for(whole, run, "child", "signal")
    assert cli("runs", "signal", run, "go", '{"by": "me"}').code == 0
    stands(whole, run, "failed")
    stands(whole, f"{run}.sub", "cancelled")
    shown = cli("runs", "show", run).out
    by_name = {row[0]: row[1:] for row in rows(shown)}
    assert by_name["after"][0] == "failed" and by_name["after"][-1] == r"too_bad: no \x1b[31mway"
    assert by_name["child"][0] == "cancelled"
    assert r"error: too_bad at after: no \x1b[31mway" in shown and "\x1b" not in shown


def test_the_journal_tells_what_each_record_said_and_changed(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "busy", EVENT)
    waits_for(whole, run, "child", "signal")
    said = cli("runs", "history", run, "-o", "json").rows
    assert [row["record"] for row in said] == list(range(len(said)))
    assert [row["kind"] for row in said[:4]] == ["RunStarted", "Completion", "TimerFired", "Completion"]
    assert said[1]["error"]["type"] == "picky" and said[1]["activation"] == "pay"
    assert said[1]["changes"] == [{"node": "pay", "before": "running", "after": "retrying"}]
    assert said[2]["timer"] == "retry of pay" and not said[2]["ignored"]
    assert all(row["bytes"] > 0 for row in said)
    text = cli("runs", "history", run).out
    assert "error=picky: attempt 1 was told to fail" in text and "→ pay retrying" in text
    assert "lines completed" in text


def test_the_journal_is_followed_until_the_run_ends(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "waiting")
    waits_for(whole, run, "signal")
    later = threading.Timer(0.5, lambda: whole.do(whole.fleet.client.signal(run, "go", {"by": "me"})))
    later.start()
    said = cli("runs", "history", run, "--follow", "-o", "json")
    later.join()
    assert [row["kind"] for row in said.rows] == ["RunStarted", "SignalReceived"]


def test_on_a_terminal_the_tree_is_drawn_again_until_the_run_has_ended(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "waiting")
    waits_for(whole, run, "signal")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [sys.executable, "-m", "jetfleet.schemas", "runs", "show", run, "--watch", "--nats", whole.url]
    drawn, told = "", False
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"}):
        os.close(theirs)
        while data := _read(ours):
            drawn += data
            if "waiting" in drawn and not told:
                told = True
                whole.do(whole.fleet.client.signal(run, "go"))
    os.close(ours)
    assert "answer" in drawn and f"run {run} completed" in drawn


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # the other side has gone
        return ""
