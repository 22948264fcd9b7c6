"""Answering approvals as a person types it."""

from __future__ import annotations

import pytest

from ..fleet.background_fleet import BackgroundFleet
from .commands import Cli, sent, stands

ASKING = {
    "name": "asking",
    "triggers": [{"id": "go", "type": "manual"}],
    "nodes": {
        "ask": {
            "type": "std::wait",
            "config": {
                "hook_id": "order-${go.n}", "assignees": ["ann", "${go.boss}"], "metadata_fields": ["n"], "timeout_secs": 3600,
                "schema": {"properties": {"limit": {"type": "integer"}}},
            },
        },
        "end": {"type": "std::merge", "config": {"strategy": "any"}},
    },
    "edges": [{"from": "go", "to": "ask"}, *({"from": f"ask.{port}", "to": "end"} for port in ("out", "rejected", "escalated"))],
}  # fmt: skip
EVENTS = {"name": "hearing", "nodes": {"hear": {"type": "std::wait", "config": {"event": "paid", "correlate": {"id": "7"}}}}}


@pytest.fixture(scope="module", autouse=True)
def flows(whole: BackgroundFleet) -> None:
    for each in (ASKING, EVENTS):
        whole.do(whole.fleet.client.deploy(each))


def asked(cli: Cli, whole: BackgroundFleet, boss: str, n: int) -> str:
    run = sent(cli, "asking", f'{{"n": {n}, "boss": "{boss}"}}')
    stands(whole, run, "running")
    return run


def test_who_is_asked_is_listed_and_an_answer_ends_it(cli: Cli, whole: BackgroundFleet) -> None:
    run = asked(cli, whole, "bo", 1)
    assert [row["run_id"] for row in cli("approvals", "list", "--for", "bo", "-o", "json").rows] == [run]
    assert cli("approvals", "list", "--for", "nobody").err == "nobody is asked such a thing\n"
    table = cli("approvals", "list", "--flow", "asking", "--for", "bo").out
    assert "order-1" in table and "ann, bo" in table and '{"n":1}' in table and "59 min" in table

    assert cli("runs", "approve", run, "order-1", "--response", '{"limit": "no"}').err.startswith("error: SIGNAL_REJECTED ")
    assert cli("runs", "approve", run, "order-2").err.startswith(f"error: NOT_WAITING run {run} waits for no approval 'order-2'")
    said = cli("runs", "approve", run, "order-1", "--response", '{"limit": 5}', "--by", "bo", "--reason", "known")
    assert (said.code, said.err) == (0, f"order-1 of run {run} is approved\n")
    stands(whole, run, "completed")
    (answer,) = [row for row in cli("runs", "history", run, "-o", "json").rows if row["kind"] == "SignalReceived"]
    assert "bo" in str(answer) and "known" in str(answer)
    late = cli("runs", "reject", run, "order-1")
    assert (late.code, late.err.startswith(f"error: RUN_ENDED run {run} has completed")) == (1, True), late.err
    assert cli("runs", "approve", "asking-none", "order-1").err.startswith("error: UNKNOWN_RUN ")


def test_a_token_answers_from_anywhere_once(cli: Cli, whole: BackgroundFleet) -> None:
    run = asked(cli, whole, "cy", 2)
    (shown,) = cli("approvals", "show", run, "order-2", "-o", "json").rows
    assert (
        shown["schema"] == {"properties": {"limit": {"type": "integer"}}} and shown["token"] in cli("approvals", "show", run, "order-2").out
    )
    assert cli("approvals", "rotate").code == 0
    said = cli("approvals", "answer", shown["token"], "--decision", "escalate", "--by", "mail", "-o", "json").rows
    assert [(row["decision"], row["by"], row["approval"]) for row in said] == [("escalate", "mail", "order-2")]
    used = cli("approvals", "answer", shown["token"])
    assert used.code == 1 and used.err.startswith("error: TOKEN_USED ") and "by mail" in used.err and "escalate" in used.err
    assert cli("approvals", "answer", shown["token"] + "x").err.startswith("error: TOKEN_INVALID ")


def test_an_event_is_sent_to_all_that_wait_for_it(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "hearing")
    stands(whole, run, "running")
    assert cli("runs", "event", "paid", '{"id": 8}').code == 0
    assert cli("runs", "event", "paid", '{"id": 7}').code == 0
    stands(whole, run, "completed")
    assert [row["kind"] for row in cli("runs", "history", run, "-o", "json").rows] == ["RunStarted", "EventReceived"]
