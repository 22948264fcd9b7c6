"""The commands that talk to a fleet, as a person types them, against one whole fleet of processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.cli.watching import LOOK_S
from jetfleet.broker.triggers.burial import letter_of
from jetfleet.broker.triggers.firing import Firing
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.cli import main
from jetfleet.schemas.errors import EventRejected
from jetfleet.schemas.messages import DeadLetter
from jetfleet.schemas.payload import decode
from jetfleet.workers.up.fleet import FleetSettings

from .background_fleet import BackgroundFleet
from .commands import Cli, cli_for
from .fleets import NODES

ORDER = """
name: order
triggers: [{id: api, type: manual}]
inputs: {type: object, required: [n], properties: {n: {type: integer}}}
nodes:
  big: {type: std::switch, config: {expression: "n > 9"}}
  check: {type: f.echo}
  refuse: {type: std::raise, config: {type: too_big, message: "no \\e[31mmore"}}
edges: [{from: api, to: big}, {from: big.false, to: check}, {from: big.true, to: refuse}]
"""
WAITING = """
name: waiting
nodes: {answer: {type: std::wait, config: {signal: go}}}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    folder = tmp_path_factory.mktemp("cli")
    for name, text in (("order", ORDER), ("waiting", WAITING)):
        (folder / f"{name}.yaml").write_text(text)
    settings = FleetSettings(data=folder / "data", port=0, partitions=2, nodes=(NODES,), log_level="error")
    with BackgroundFleet(settings) as one:
        for name in ("order", "waiting"):
            one.do(one.fleet.client.deploy(folder / f"{name}.yaml", nodes=[NODES]))
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_for(whole.url, monkeypatch, capsys)


def started(cli: Cli, flow: str = "waiting", event: str = "{}", *more: str) -> str:
    """The id of a run that was sent."""
    said = cli("send", flow, event, *more)
    assert said.code == 0, said.err
    return said.out.strip()


def test_runs_of_a_flow_that_nobody_knows_are_an_error_and_not_an_empty_list(cli: Cli) -> None:
    said = cli("runs", "list", "--flow", "ordre")
    assert (said.code, said.out) == (1, "") and said.err.startswith("error: UNKNOWN_FLOW no flow is called 'ordre'")
    assert "order" in said.err


def begun(whole: BackgroundFleet, run: str) -> None:
    """Wait until the run's owner has it."""

    async def look() -> None:
        while await whole.fleet.client.look(run) is None:
            pass

    whole.do(look())


# --- deploy


def test_deploying_says_what_changed_and_goes_on_after_what_is_not_valid(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a_bad.yaml").write_text("name: bad\nnodes: {a: {type: std::nothing}}\n")
    (tmp_path / "b_good.yaml").write_text("name: good\nnodes: {a: {type: std::log, config: {message: hi}}}\n")
    said = cli("deploy", str(tmp_path), "-o", "json")
    assert said.code == 5
    assert [(row["flow"], row["changed"]) for row in said.rows] == [("good", True)]
    assert f"not deployed: {tmp_path / 'a_bad.yaml'}" in said.err
    assert "std::nothing" in said.err
    again = cli("deploy", str(tmp_path / "b_good.yaml"))
    assert again.code == 0
    assert again.out.splitlines()[1].split() == ["good", "1.0", said.rows[0]["digest"][:12], "no", "100%"]


# --- send and run


def test_an_event_is_sent_and_the_same_key_is_the_same_run(cli: Cli) -> None:
    assert started(cli, "order", '{"n": 1}', "--id", "k1") == started(cli, "events.order.api", '{"n": 1}', "--id", "k1")


def test_who_waits_sees_what_each_node_did(cli: Cli) -> None:
    said = cli("send", "order", '{"n": 3}', "--wait", "-o", "json")
    assert said.code == 0
    (result,) = said.rows
    assert (result["status"], result["output"]) == ("completed", {"check": {"n": 3}})
    assert {node: view["status"] for node, view in result["nodes"].items()} == {
        "big": "completed",
        "check": "completed",
        "refuse": "skipped",
    }


def test_a_run_that_fails_exits_with_1_and_does_not_steer_the_terminal(cli: Cli) -> None:
    said = cli("run", "order", "--input", '{"n": 10}')
    assert said.code == 1
    assert "too_big" in said.out
    assert "\x1b" not in said.out


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("send", "nothing", "{}"), 1, "UNKNOWN_FLOW"),
        (("send", "order", '{"n": "x"}'), 1, "EVENT_REJECTED"),
        (("send", "order", "{"), 2, "USAGE"),
        (("send", "order", '{"n": 1}', "--trigger", "other"), 2, "USAGE"),
        (("send", "some.thing", "{}"), 2, "USAGE"),
        (("send", "events.order.api.more", "{}"), 2, "USAGE"),
        (("run", "nothing.yaml"), 1, "UNKNOWN_FLOW"),
        (("run", "order", "--virtual-time"), 2, "USAGE"),
        (("runs", "show", "order-1"), 1, "UNKNOWN_RUN"),
        (("runs", "cancel", "order-1"), 1, "UNKNOWN_RUN"),
        (("runs", "result", "order-1"), 1, "UNKNOWN_RUN"),
        (("runs", "list", "flow = = 1"), 1, "INVALID_SEARCH"),
        (("dlq", "show", "99999"), 2, "USAGE"),
        (("dlq", "redrive"), 2, "USAGE"),
        (("dlq", "drop"), 2, "USAGE"),
        (("dlq", "drop", "1", "--all"), 2, "USAGE"),
        (("dlq", "drop", "99999"), 1, "USAGE"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_a_code(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    said = cli(*args)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"error: {says} ")


def test_a_file_of_events_makes_a_run_per_line_and_refuses_lines_one_by_one(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"n": 1}\n\nnonsense\n{"n": "x"}\n{"n": 10}\n{"n": 2}\n')
    said = cli("run", "order", "--input", f"@{file}", "-o", "json")
    assert said.code == 1
    assert {row["line"]: row["status"] for row in said.rows} == {1: "completed", 3: "refused", 4: "refused", 5: "failed", 6: "completed"}
    sent = cli("send", "order", f"@{file}")
    assert (sent.code, len(sent.out.split())) == (1, 3)
    assert "2 refused" in sent.err


def test_a_flow_in_a_file_is_deployed_first_and_its_waits_are_told_and_answered(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "asking.yaml"
    file.write_text("name: asking\nnodes: {answer: {type: std::wait, config: {signal: go}}}\n")
    said = cli("run", str(file), "--signal", "go=7", "-o", "json")
    assert said.code == 0
    assert said.rows[0]["nodes"]["answer"]["output"] is not None
    assert "deployed: asking 1.0" in said.err


def test_an_event_for_a_flow_that_comes_later_waits_and_is_listed(cli: Cli, whole: BackgroundFleet, tmp_path: Path) -> None:
    said = cli("send", "events.later.api", '{"n": 1}', "--id", "k")
    assert said.out.strip() == subjects.run_id("later", "k")
    assert "waits until it is" in said.err
    listed = cli("dlq", "list", "--kind", "waiting", "-o", "json")
    assert [(row["subject"], row["code"]) for row in listed.rows] == [("events.later.api", "NOT_DEPLOYED")]
    file = tmp_path / "later.yaml"
    file.write_text(ORDER.replace("name: order", "name: later"))
    assert cli("deploy", str(file)).code == 0
    assert cli("runs", "watch", wait_until_listed(whole, "later")).code == 0
    assert cli("dlq", "list", "--kind", "waiting").out == ""


def wait_until_listed(whole: BackgroundFleet, flow: str) -> str:
    async def look() -> str:
        while not (rows := (await whole.fleet.client.runs(flow=flow)).rows):
            pass
        return rows[0].id

    return whole.do(look())


# --- runs


def test_runs_are_listed_filtered_and_paged(cli: Cli, whole: BackgroundFleet) -> None:
    for n in (1, 2, 11):
        cli("send", "order", json.dumps({"n": n}), "--wait", "--id", f"listed{n}")
    failed = subjects.run_id("order", "listed11")
    rows = cli("runs", "list", "status=failed and error ~ too_big", "--flow", "order", "-o", "json").rows
    assert failed in {row["run_id"] for row in rows}
    assert {row["status"] for row in rows} == {"failed"}
    assert len(cli("runs", "list", "--limit", "2", "-o", "json").rows) == 2
    table = cli("runs", "list", f"id={failed}").out.splitlines()
    assert table[0].split()[:2] == ["RUN", "ID"]
    assert table[1].startswith(failed)
    nothing = cli("runs", "list", "--flow", "order", "--status", "killed")
    assert (nothing.code, nothing.out) == (0, "")


def test_an_open_run_says_what_it_waits_for_and_its_journal_is_complete(cli: Cli, whole: BackgroundFleet) -> None:
    run = started(cli)
    begun(whole, run)
    assert "waits: answer waits for the signal go" in cli("runs", "show", run).out
    assert cli("runs", "signal", run, "go", '{"by": "me"}').code == 0
    assert json.loads(cli("runs", "result", run, "-o", "json").out)["status"] == "completed"
    kinds = [row["kind"] for row in cli("runs", "history", run, "-o", "json").rows]
    assert kinds == ["RunStarted", "SignalReceived"]
    assert 'name=go  payload={"by":"me"}' in cli("runs", "history", run).out


def test_a_run_is_paused_resumed_cancelled_and_then_takes_nothing_in_any_more(cli: Cli, whole: BackgroundFleet) -> None:
    run = started(cli)
    begun(whole, run)
    for args in (("pause", run, "--reason", "lunch"), ("resume", run), ("cancel", run, "--reason", "enough")):
        assert cli("runs", *args).code == 0
    said = cli("runs", "result", run)
    assert (said.code, said.out.splitlines()[0]) == (1, f"run {run} cancelled")
    assert cli("runs", "signal", run, "go").err.startswith("error: RUN_ENDED ")


def test_waiting_is_told_and_ends_with_the_timeout_without_harm(cli: Cli, whole: BackgroundFleet) -> None:
    run = started(cli)
    begun(whole, run)
    said = cli("runs", "watch", run, "--timeout", str(3 * LOOK_S))
    assert said.code == 1
    assert "waiting: answer waits for the signal go" in said.err
    assert "error: NOT_ENDED" in said.err
    assert cli("runs", "kill", run).code == 0


def test_watching_ends_when_the_run_does(cli: Cli, whole: BackgroundFleet) -> None:
    run = started(cli)
    begun(whole, run)
    timer = threading.Timer(2 * LOOK_S, lambda: whole.do(whole.fleet.client.signal(run, "go")))
    timer.start()
    said = cli("runs", "watch", run)
    timer.join()
    assert said.code == 0
    assert f"run {run} completed" in said.out


# --- dlq


def test_dead_letters_are_listed_shown_and_sent_again(cli: Cli, whole: BackgroundFleet) -> None:
    letter = DeadLetter("event", "EVENT_REJECTED", "n is missing", "events.order.api", b'{"n": 5}', 7, {"Nats-Msg-Id": "dead5"}, "here")
    publish = whole.fleet.client.connection.publisher.publish
    number = str(whole.do(publish(subjects.dead("event"), messages.encode(letter))).seq)
    assert number in cli("dlq", "list").out
    shown = json.loads(cli("dlq", "show", number, "-o", "json").out)
    assert (shown["data"], shown["where"], shown["headers"]) == ({"n": 5}, "here", {"Nats-Msg-Id": "dead5"})
    assert "n is missing" in cli("dlq", "show", number).out
    assert cli("dlq", "redrive", number).code == 0
    assert cli("dlq", "list", "--kind", "event").out == ""
    run = wait_until_ended(whole, subjects.run_id("order", "dead5"))
    assert run == {"check": {"n": 5}}


def test_what_a_trigger_put_aside_is_shown_as_it_came_with_what_is_said_about_it(cli: Cli, whole: BackgroundFleet) -> None:
    unreadable = Firing("orders/0/1", b"\xff\x00", {"topic": "orders", "offset": 1})
    letter = letter_of("order", "api", unreadable, EventRejected("no JSON"))
    number = str(whole.do(whole.fleet.client.connection.publisher.publish(subjects.dead("event"), messages.encode(letter))).seq)
    shown = json.loads(cli("dlq", "show", number, "-o", "json").out)
    assert (shown["data"], shown["meta"]) == ("ff 00", {"topic": "orders", "offset": 1})
    assert cli("dlq", "drop", number).code == 0


def test_dead_letters_that_nobody_will_send_again_are_dropped_by_number_or_by_reason(cli: Cli, whole: BackgroundFleet) -> None:
    publish = whole.fleet.client.connection.publisher.publish
    letters = [
        DeadLetter("event", code, "", "events.order.api", b'"' + 9_000 * b"x" + b'"', 7) for code in ("DULL", "DULL", "DULL", "KEPT")
    ]
    first, *_, kept = (str(whole.do(publish(subjects.dead("event"), messages.encode(letter))).seq) for letter in letters)
    assert "9,000 characters" in cli("dlq", "show", first).out
    assert cli("dlq", "drop", first).code == 0
    assert len(cli("dlq", "list", "--code", "DULL", "-o", "json").out.splitlines()) == 2
    assert cli("dlq", "drop", "--kind", "event", "--code", "DULL").code == 0
    assert [json.loads(line)["number"] for line in cli("dlq", "list", "-o", "json").out.splitlines()] == [int(kept)]
    assert cli("dlq", "drop", "--all").code == 0
    assert cli("dlq", "list").out == ""


def wait_until_ended(whole: BackgroundFleet, run: str) -> Any:
    async def wait() -> Any:
        return decode((await (await whole.fleet.client.handle(run)).result(15)).payload)

    return whole.do(wait())


# --- doctor


def test_the_doctor_finds_nothing_wrong_with_a_fleet_that_is_well(cli: Cli, whole: BackgroundFleet) -> None:
    said = cli("doctor", "--data", str(whole.fleet.server.data), "-o", "json")
    graded = {row["check"]: row["grade"] for row in said.rows}
    assert said.code == 0, said.out
    assert graded["sync"] == graded["members"] == graded["partitions"] == graded["marks"] == "ok"


def test_the_doctor_says_what_is_missing_and_exits_with_1(cli: Cli, whole: BackgroundFleet, tmp_path: Path) -> None:
    file = tmp_path / "lonely.yaml"
    file.write_text(
        "name: lonely\ntriggers: [{id: hook, type: webhook}]\n"
        "nodes: {a: {type: own.unheard_of}, b: {type: std::log, queue: far, config: {message: hi}}}\nedges: [{from: hook, to: a}, {from: a, to: b}]\n"
    )
    assert cli("deploy", str(file)).code == 0
    said = cli("doctor", "--data", str(tmp_path), "-o", "json")
    whole.do(whole.fleet.client.undeploy("lonely"))
    bad = {row["check"]: row["says"] for row in said.rows if row["grade"] == "bad"}
    assert said.code == 1
    assert "--queue far" in bad["queues"]
    assert "own.unheard_of" in bad["nodes"]
    assert bad["triggers"] == "lonely.hook (webhook): nobody serves it: start `jetfleet trigger serve`"


def test_a_flow_that_is_undeployed_starts_no_run_until_it_is_deployed_again(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "brief.yaml"
    file.write_text("name: brief\nnodes: {a: {type: std::log, config: {message: hi}}}\n")
    assert cli("deploy", str(file)).code == 0
    assert cli("undeploy", "brief").err == "undeployed: brief\n"
    assert cli("send", "brief", "1").code == 1
    said = cli("undeploy", "brieff", "brief")
    assert said.code == 1 and said.err.count("UNKNOWN_FLOW") == 2
    assert cli("deploy", str(file)).code == 0
    assert cli("run", "brief").code == 0
    assert cli("undeploy", "brief").code == 0


def test_the_doctor_of_a_server_without_a_fleet_asks_for_one(fresh_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--nats", fresh_url]) == 1
    bad = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("bad")]
    assert bad == ["members", "partitions", "reader"]
