"""One verb for many runs: none is missed, none is told twice, and nothing happens before somebody has agreed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections import Counter

import pytest

from jetfleet.broker.api.bulk import ALREADY, CHANGED, DONE
from jetfleet.broker.read_model.errors import InvalidSearch
from jetfleet.schemas.cli import INTERRUPTED
from jetfleet.schemas.errors import UsageError

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES
from .commands import Cli, sent, stands

MANY = 600
"""More than a page."""
FAILING = {"name": "failing", "nodes": {"pay": {"type": "f.picky"}}}


def waiting(name: str) -> dict[str, object]:
    nodes = {"answer": {"type": "std::wait", "config": {"signal": "go"}}}
    return {"name": name, "nodes": nodes, "settings": {"max_concurrent_executions": 10 * MANY}}


@pytest.fixture(scope="module", autouse=True)
def flows(whole: BackgroundFleet) -> None:
    for each in (waiting("bulk"), waiting("moving"), waiting("few"), waiting("typed"), FAILING):
        whole.do(whole.fleet.client.deploy(each, nodes=[NODES]))


def start(whole: BackgroundFleet, flow: str, count: int, key: str = "k") -> list[str]:
    """Their ids, when all have begun."""
    client = whole.fleet.client

    async def send() -> list[str]:
        runs = await asyncio.gather(*(client.send(flow, {"n": n}, id=f"{key}{n}") for n in range(count)))
        for run in runs:
            while await client.look(run) is None:
                pass
        return list(runs)

    return whole.do(send())


def statuses(whole: BackgroundFleet, flow: str) -> Counter[str]:
    """Of the flow's runs, with a reader that has caught up."""
    return Counter(row.status for row in whole.do(whole.fleet.client.bulk("kill", f"flow = {flow}").find()))


def test_all_runs_that_match_are_told_once_and_the_others_are_left(cli: Cli, whole: BackgroundFleet) -> None:
    start(whole, "bulk", MANY)
    start(whole, "moving", 3)
    dry = cli("runs", "cancel", "--where", "flow=bulk and status=open", "--dry-run", "-o", "json")
    assert dry.code == 0
    assert (dry.rows[0]["matched"], len(dry.rows[0]["first"])) == (MANY, 10)
    refused = cli("runs", "cancel", "--where", "flow=bulk")
    assert (refused.code, refused.out) == (2, "")
    assert f"{MANY} runs match and nobody is at a terminal to agree" in refused.err
    assert statuses(whole, "bulk") == {"running": MANY}
    said = cli("runs", "cancel", "--where", "flow=bulk and status=open", "--yes", "-o", "json", "--reason", "wrong list")
    assert said.code == 0, said.err
    assert Counter(row["outcome"] for row in said.rows) == {DONE: MANY}
    assert len({row["run_id"] for row in said.rows}) == MANY
    stands(whole, said.rows[-1]["run_id"], "cancelled")
    again = cli("runs", "cancel", "--where", "flow=bulk and status=open", "--yes")
    assert again.code == 0
    assert statuses(whole, "moving") == {"running": 3}


def test_runs_that_have_ended_or_changed_since_are_left_and_reported(whole: BackgroundFleet) -> None:
    ended, paused, other = start(whole, "few", 3)
    client = whole.fleet.client

    async def act() -> dict[str, str]:
        bulk = client.bulk("cancel", "flow = few and status = running", reason="late")
        assert {row.id for row in await bulk.find()} == {ended, paused, other}
        await client.signal(ended, "go")
        await client.pause(paused)
        while (await client.standing(ended)).status != "completed" or (await client.standing(paused)).status != "paused":
            pass
        return {acted.run: acted.how async for acted in bulk.act()}

    assert whole.do(act()) == {ended: ALREADY, paused: CHANGED, other: DONE}
    stands(whole, other, "cancelled")
    stands(whole, paused, "paused")


def test_none_is_missed_while_runs_come_and_go_and_are_told_by_others(whole: BackgroundFleet) -> None:
    first = start(whole, "moving", MANY, "m")
    client = whole.fleet.client

    async def act() -> Counter[str]:
        bulk = client.bulk("signal", "flow = moving and status = open", name="go", value=1)
        found = asyncio.create_task(bulk.find())
        more = asyncio.gather(*(client.send("moving", {"n": n}, id=f"late{n}") for n in range(100)))
        by_others = asyncio.gather(*(client.signal(run, "go", 2) for run in first[::7]))
        await asyncio.gather(found, more, by_others)
        assert len({row.id for row in bulk.rows}) == len(bulk.rows)
        return Counter([acted.how async for acted in bulk.act()])

    outcomes = whole.do(act())
    assert set(outcomes) <= {DONE, ALREADY}
    for run in (first[0], first[7], first[-1]):
        stands(whole, run, "completed")
    left = statuses(whole, "moving")
    assert left["completed"] >= MANY
    whole.do(_drained(whole, "moving"))
    assert statuses(whole, "moving").keys() == {"completed"}


async def _drained(whole: BackgroundFleet, flow: str) -> None:
    async for _ in whole.fleet.client.bulk("signal", f"flow = {flow} and status = open", name="go").act():
        pass
    while (await whole.fleet.client.runs(f"flow = {flow} and status = open")).rows:
        pass


def test_what_failed_is_retried_with_a_cap_on_the_rate(cli: Cli, whole: BackgroundFleet) -> None:
    runs = [sent(cli, "failing", '{"fails": 1}', "--id", f"f{n}") for n in range(4)]
    for run in runs:
        stands(whole, run, "failed")
    said = cli("runs", "retry", "--where", "flow=failing and error ~ told", "--yes", "--rate", "100", "--concurrency", "2")
    assert said.code == 0, said.err
    assert said.out.startswith("retry: 4 of 4 in ")
    for run in runs:
        stands(whole, run, "completed")
    assert cli("runs", "retry", "--where", "flow=failing", "--yes").out.splitlines()[1:] == ["  4 have completed already"]


def test_a_fork_of_each_gets_the_changed_input(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "failing", '{"fails": 1}', "--id", "fork")
    stands(whole, run, "failed")
    said = cli("runs", "fork", "--where", f"id={run}", "--yes", "--from", "pay", "--set", "trigger.fails=0", "-o", "json")
    assert said.code == 0, said.err
    (row,) = said.rows
    stands(whole, row["fork"], "completed")
    assert (row["run_id"], row["outcome"]) == (run, DONE)
    stands(whole, run, "failed")


def test_a_verb_or_filter_that_makes_no_sense_is_refused_before_anything(whole: BackgroundFleet) -> None:
    client = whole.fleet.client
    for verb, where in (("delete", "flow = x"), ("cancel", "  ")):
        with pytest.raises(UsageError):
            client.bulk(verb, where)
    with pytest.raises(InvalidSearch, match="column 8"):
        whole.do(client.bulk("cancel", "flow = = x").find())


@pytest.mark.parametrize(("answer", "code", "after"), [("n", 1, "running"), ("y", 0, "cancelled")])
def test_at_a_terminal_it_is_asked_before_anything_is_done(whole: BackgroundFleet, answer: str, code: int, after: str) -> None:
    (run,) = start(whole, "typed", 1)
    stands(whole, run, "running")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "jetfleet.schemas", "runs", "cancel", "--where", "flow=typed and status=open", "--nats", whole.url]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        asked = ""
        while "[y/N]" not in asked:
            assert select.select([process.stderr], [], [], 30)[0], f"nothing was asked: {asked}"
            asked += os.read(process.stderr.fileno(), 4096).decode()
        assert "cancel it?" in asked
        os.write(ours, f"{answer}\n".encode())
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code
    assert run in out
    stands(whole, run, after)


def test_who_is_interrupted_is_told_what_was_done_and_the_same_command_goes_on(cli: Cli, whole: BackgroundFleet) -> None:
    runs = start(whole, "typed", 30, "i")
    where = ["--where", "flow=typed and status=open", "--yes", "-o", "json", "--nats", whole.url]
    command = [sys.executable, "-m", "jetfleet.schemas", "runs", "cancel", "--rate", "10", *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    done = [first["run_id"], *(json.loads(line)["run_id"] for line in out.splitlines())]
    assert f"interrupted: {len(done)} of 30 runs were dealt with" in err
    assert len(done) < 30
    rest = cli("runs", "cancel", *where).rows
    assert {row["run_id"] for row in rest if row["outcome"] == DONE} | set(done) >= set(runs)
