"""Studying runs of a real fleet, as a person types it: their state at any record, two side by side, why, and whether they are whole."""

from __future__ import annotations

import pytest

from jetfleet.broker.engine import nodes, state_at
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Part
from jetfleet.schemas.payload import decode

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES, flow
from ..steering.commands import Cli, sent, stands

ORDER = {
    "name": "order",
    "triggers": [{"id": "api", "type": "manual"}],
    "nodes": {
        "big": {"type": "std::switch", "config": {"expression": "n > 9"}},
        "check": {"type": "f.picky", "retry": {"max_attempts": 3, "initial_delay_ms": 1}},
        "paid": {"type": "std::wait", "config": {"signal": "paid"}},
        "refuse": {"type": "std::raise", "config": {"type": "too_big", "message": "no more"}},
    },
    "edges": [
        {"from": "api", "to": "big"}, {"from": "big.false", "to": "check"}, {"from": "check", "to": "paid"}, {"from": "big.true", "to": "refuse"},
    ],
}  # fmt: skip
ECHO = flow("plain", {"a": {"type": "f.echo"}, "b": {"type": "f.echo"}})


@pytest.fixture(scope="module", autouse=True)
def deployed(whole: BackgroundFleet) -> None:
    for each in (ORDER, ECHO):
        whole.do(whole.fleet.client.deploy(each, nodes=[NODES]))


def test_a_run_that_waits_is_told_with_the_command_that_moves_it_and_as_it_was_before(whole: BackgroundFleet, cli: Cli) -> None:
    run = sent(cli, "order", '{"n": 3, "fails": 1}')
    told = ""
    while "waits for the signal" not in told:
        told = cli("runs", "explain", run).out
    assert f"It waits: paid waits for the signal paid. It goes on when somebody sends the signal: jetfleet runs signal {run} paid" in told
    assert "refuse was skipped: big went by false, not by true" in told
    assert "at attempt 2 (before: picky: attempt 1 was told to fail)" in told

    (then,) = cli("runs", "state", run, "--at", "0", "-o", "json").rows
    assert (then["record"], then["nodes"]["check"]["status"], then["nodes"]["paid"]["status"]) == (0, "running", "pending")
    assert [wait.startswith("check is at work") for wait in then["waits"]] == [True]
    journal = whole.do(whole.fleet.client.history(run))
    plan = whole.fleet.client.flows.plan(journal[0].digest)  # type: ignore[union-attr]
    assert plan is not None
    for number in range(len(journal)):
        (state,) = cli("runs", "state", run, "--at", str(number), "-o", "json").rows
        views = nodes(state_at(plan, journal, number + 1))
        assert {key: (view["status"], view["attempts"]) for key, view in state["nodes"].items()} == {
            key: (view.status, view.attempts) for key, view in views.items()
        }
        assert state["nodes"]["big"]["output"] == decode(views["big"].output or b"\xc0")
    (now,) = cli("runs", "state", run, "-o", "json").rows
    assert now["nodes"]["paid"]["status"] == "waiting"
    refused = cli("runs", "state", run, "--at", "-1d")
    assert (refused.code, "had not begun then" in refused.err) == (2, True)
    assert f"has {len(journal)} records so far, from 0 to {len(journal) - 1}" in cli("runs", "state", run, "--at", "99").err
    assert "is no time" in cli("runs", "state", run, "--at", "soon").err


def test_a_run_that_failed_is_told_and_compared_with_one_that_did_not(whole: BackgroundFleet, cli: Cli) -> None:
    failed, waits = sent(cli, "order", '{"n": 30}'), sent(cli, "order", '{"n": 3}')
    stands(whole, failed, "failed")
    stands(whole, waits, "running")
    told = cli("runs", "explain", failed).out
    assert "refuse failed: too_big: no more. Nothing catches that, so the run fails." in told
    assert f"jetfleet runs retry {failed}" in told

    said = cli("runs", "diff", waits, failed, "-o", "json")
    (found,) = said.rows
    assert said.code == 1
    assert found["input"] == [{"path": "n", "a": 3, "b": 30}]
    assert found["about"]["status"] == ["running", "failed"] and found["first_record"] == 0
    assert {node["node"]: node["port"] for node in found["nodes"]}["big"] == ["false", "true"]
    table = cli("runs", "diff", waits, failed).out
    assert "input n" in table and "big port" in table
    assert cli("runs", "diff", failed, failed).code == 0


def test_a_fork_is_told_with_where_it_came_from(whole: BackgroundFleet, cli: Cli) -> None:
    failed = sent(cli, "order", '{"n": 30}')
    stands(whole, failed, "failed")
    fork = cli("runs", "fork", failed, "--from", "big", "--set", "trigger.n=3").out.strip()
    told = ""
    while "paid waits" not in told:
        told = cli("runs", "explain", fork).out
    assert f"It came of run {failed}" in told and "big completed and chose false" in told
    cli("runs", "signal", fork, "paid")
    stands(whole, fork, "completed")
    assert cli("runs", "verify", fork).out.startswith(f"{fork}: sound")
    said = cli("runs", "replay", fork)
    assert said.code == 0 and "the journal leads to what was recorded: completed" in said.err
    assert cli("runs", "verify", failed).code == 0


def test_a_run_that_was_tried_again_goes_on_with_its_chain(whole: BackgroundFleet, cli: Cli) -> None:
    run = sent(cli, "order", '{"n": 3}')
    stands(whole, run, "running")
    cli("runs", "cancel", run)
    stands(whole, run, "cancelled")
    assert cli("runs", "retry", run).code == 0
    cli("runs", "signal", run, "paid")
    stands(whole, run, "completed")
    (verdict,) = cli("runs", "verify", run, "-o", "json").rows
    assert (verdict["status"], verdict["chained"]) == ("sound", verdict["records"])


def test_a_journal_in_which_one_byte_was_changed_is_found_with_its_place(whole: BackgroundFleet, cli: Cli) -> None:
    run = sent(cli, "plain", '{"name": "Nora"}')
    stands(whole, run, "completed")
    assert cli("runs", "verify", run).code == 0

    async def forge() -> None:
        streams = whole.fleet.client.connection.streams
        found = None
        async for stored in streams.read(subjects.HISTORY, subject=subjects.history("plain")):
            entries = messages.split(stored.data)
            if any(messages.decode(Part, bytes(entry)).run == run for entry in entries):
                found = stored
        assert found is not None
        changed = found.data.replace(b"Nora", b"Nina", 1)
        assert len(changed) == len(found.data) and changed != found.data
        await whole.fleet.client.connection.publisher.publish(subjects.history("plain"), changed)

    whole.do(forge())
    said = cli("runs", "verify", run)
    while said.code == 0:  # until the reader has seen the copy
        said = cli("runs", "verify", run)
    assert "broken: record 0: two parts of the journal say different things (HISTORY" in said.out

    async def remove() -> None:
        client = whole.fleet.client
        places = await client.connection.streams.subjects(subjects.HISTORY, subjects.history("plain"))
        first = await client.connection.streams.first(subjects.HISTORY, subjects.history("plain"))
        assert places and first is not None
        await client.connection.streams.delete_message(subjects.HISTORY, first.seq)

    whole.do(remove())
    (verdict,) = cli("runs", "verify", run, "-o", "json").rows
    assert (verdict["status"], verdict["flaw"]["record"]) == ("broken", 0)
    assert "the hash chain does not hold" in verdict["flaw"]["what"] and "HISTORY" in verdict["flaw"]["place"]
    everything = cli("runs", "verify", "--all")
    assert everything.code == 1 and "1 broken" in everything.err and run in everything.out
    assert cli("runs", "verify", "--where", "flow = order").code == 0


def test_what_cannot_be_studied_is_said(cli: Cli) -> None:
    for command in (["explain"], ["verify"], ["state"], ["diff", "nobody-1"], ["export"], ["replay"]):
        said = cli("runs", *command, "nobody-2")
        assert (said.code, "UNKNOWN_RUN" in said.err) == (1, True), (command, said)
    assert cli("runs", "verify").code == 2
    assert "column" in cli("runs", "verify", "--where", "flow ==").err
