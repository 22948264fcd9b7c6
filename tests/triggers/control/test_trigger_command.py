"""`jetfleet trigger`, as a person types it, against one whole fleet of processes."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.server.ports import free_port
from jetfleet.schemas.cli import main
from jetfleet.workers.up.fleet import FleetSettings

from ...fleet.background_fleet import BackgroundFleet
from ...fleet.commands import Said
from ...fleet.fleets import NODES
from ...fleet.worker_processes import CommandProcess

FLOW = """
name: orders
triggers:
  - {id: desk, type: manual, params: {parameters: [{name: id, type: integer, required: true}, {name: rush, type: boolean, default: false}]}}
  - {id: nightly, type: cron, params: {schedule: "0 2 * * *", timezone: Europe/Berlin}}
  - {id: inbox, type: queue, params: {name: shop}}
  - {id: broken, type: kafka, params: {brokers: "127.0.0.1:1", group_id: g, topic: t}}
  - {id: old, type: memory, enabled: false}
nodes: {seen: {type: f.echo}}
edges: [{from: desk, to: seen}, {from: nightly, to: seen}, {from: inbox, to: seen}, {from: broken, to: seen}, {from: old, to: seen}]
"""
ALONE = "name: alone\ntriggers: [{id: in, type: memory}]\nnodes: {seen: {type: f.echo}}\nedges: [{from: in, to: seen}]\n"
DEADLINE_S = 30
Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    folder = tmp_path_factory.mktemp("triggers")
    settings = FleetSettings(data=folder / "data", port=0, partitions=2, nodes=(NODES,), log_level="error", triggers=True)
    with BackgroundFleet(settings) as one:
        for name, text in (("orders", FLOW), ("alone", ALONE)):
            (folder / f"{name}.yaml").write_text(text)
            one.do(one.fleet.client.deploy(folder / f"{name}.yaml", nodes=[NODES]))
        one.do(one.fleet.triggers_up())
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("JETFLEET_NATS", whole.url)

    def call(*args: str) -> Said:
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return call


def rows(cli: Cli, *args: str) -> dict[str, Any]:
    return {f"{row['flow']}.{row['trigger']}": row for row in cli("trigger", "list", *args, "-o", "json").rows}


def until_listed(cli: Cli, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The rows, once they are as wanted: what a process says of itself comes with its next beat."""
    end = time.monotonic() + DEADLINE_S
    while not condition(found := rows(cli)):
        assert time.monotonic() < end, found
    return found


def member(row: dict[str, Any]) -> list[str]:
    return [name.partition("-")[0] for name in row["served_by"]]


def test_the_list_says_who_serves_what_and_what_is_wrong(cli: Cli) -> None:
    found = until_listed(cli, lambda found: "SOURCE_" in found["orders.broken"]["error"] and bool(member(found["orders.nightly"])))
    assert {name: (row["type"], row["state"], member(row)) for name, row in found.items()} == {
        "alone.in": ("memory", "running", ["trigger"]),
        "orders.desk": ("manual", "running", ["trigger"]),
        "orders.nightly": ("cron", "running", ["coordinator"]),
        "orders.inbox": ("queue", "running", ["coordinator"]),
        "orders.broken": ("kafka", "failing", ["trigger"]),
        "orders.old": ("memory", "disabled", []),
    }
    assert found["orders.broken"]["error"].startswith(("SOURCE_FAILED: ", "SOURCE_BROKEN: "))
    assert set(rows(cli, "alone")) == {"alone.in"}
    table = cli("trigger", "list", "alone").out.splitlines()
    assert table[0].split()[:5] == ["FLOW", "TRIGGER", "TYPE", "STATE", "SERVED"]
    assert table[1].split()[:4] == ["alone", "in", "memory", "running"]


def test_showing_a_trigger_says_where_it_listens_and_when_it_fires(cli: Cli) -> None:
    until_listed(cli, lambda found: bool(member(found["orders.nightly"])))
    shown = json.loads(cli("trigger", "show", "orders", "nightly", "-o", "json").out)
    assert shown["listens"] == "0 2 * * * Europe/Berlin"
    assert [at[11:16] for at in shown["next"]] == ["02:00"] * 3
    (said,) = shown["served_by"].values()
    assert said["state"] == "listening"
    text = cli("trigger", "show", "orders", "broken").out
    assert "listens    t at 127.0.0.1:1" in text
    assert re.search(r"^served by +trigger-.*: failing, 0 fired", text, re.MULTILINE)
    assert "in the flow's definition" in cli("trigger", "show", "orders", "old").out
    times = cli("trigger", "next", "orders", "nightly", "-n", "2", "-o", "json").rows
    assert [row["at"] for row in times] == shown["next"][:2]
    assert 0 < times[0]["in"] <= 25 * 3600


def test_the_times_of_what_is_paused_or_disabled_are_not_told_as_if_it_fired(cli: Cli) -> None:
    for verb, state in (("pause", "paused"), ("disable", "disabled")):
        assert cli("trigger", verb, "orders", "nightly").code == 0
        said = cli("trigger", "next", "orders", "nightly", "-n", "1", "-o", "json")
        assert f"it is {state} and does not fire" in said.err and [row["fires"] for row in said.rows] == [False]
        assert json.loads(cli("trigger", "show", "orders", "nightly", "-o", "json").out)["next"] == []
        text = cli("trigger", "show", "orders", "nightly").out
        assert re.search(rf"^next +it is {state} and does not fire$", text, re.MULTILINE)
        until_listed(cli, lambda _: "next at" not in cli("trigger", "show", "orders", "nightly").out)
    assert cli("trigger", "enable", "orders", "nightly").code == 0
    until_listed(cli, lambda found: bool(member(found["orders.nightly"])))
    said = cli("trigger", "next", "orders", "nightly", "-o", "json")
    assert not said.err and all(row["fires"] for row in said.rows)


def test_firing_by_hand_takes_parameters_as_texts(cli: Cli) -> None:
    said = cli("trigger", "fire", "orders", "desk", "--param", "id=7", "--param", "rush=yes", "--wait", "-o", "json")
    assert said.code == 0, said.err
    assert said.rows[0]["output"] == {"id": 7, "rush": True}
    said = cli("trigger", "fire", "orders", "desk", "--input", '{"id": 8, "rush": true}', "--param", "id=7", "--wait", "-o", "json")
    assert said.rows[0]["output"] == {"id": 7, "rush": True}, "--param adds to --input, and counts before it"
    runs = {cli("trigger", "fire", "orders", "desk", "--input", '{"id": 8}', "--id", "k").out for _ in range(2)}
    assert len(runs) == 1
    said = cli("trigger", "fire", "alone", "--input", "[1]", "--wait", "-o", "json")
    assert said.rows[0]["output"] == [1]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("fire", "orders", "desk"), 1, "EVENT_REJECTED .*'id' is missing"),
        (("fire", "orders", "desk", "--param", "id=x"), 2, "USAGE .*'x' is no whole number"),
        (("fire", "orders", "desk", "--param", "id=1", "--param", "rusch=1"), 1, "EVENT_REJECTED .*did you mean 'rush'"),
        (("fire", "orders", "desk", "--param", "id"), 2, "USAGE .*name=value"),
        (("fire", "orders", "desk", "--input", "[1]", "--param", "id=1"), 2, "USAGE "),
        (("fire", "orders"), 2, "USAGE .*several triggers: .*; name one with `jetfleet trigger fire orders TRIGGER`"),
        (("fire", "orders", "old"), 2, "USAGE .*is disabled"),
        (("list", "order"), 1, "UNKNOWN_FLOW .*did you mean 'orders'"),
        (("show", "orders", "nightlyy"), 1, "UNKNOWN_TRIGGER .*did you mean 'nightly'"),
        (("pause", "orders", "x"), 1, "UNKNOWN_TRIGGER "),
        (("resume", "orders", "old"), 2, "USAGE .*enabled: true"),
        (("next", "orders", "desk"), 2, "USAGE .*only cron"),
        (("serve", "--type", "nothing"), 2, "USAGE "),
        (("serve", "--http", "8080"), 2, "USAGE .*HOST:PORT"),
        (("serve", "--http", "0.0.0.0:8080"), 2, "USAGE .*--http-token"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_a_code(cli: Cli, args: tuple[str, ...], code: int, says: str) -> None:
    said = cli("trigger", *args)
    assert (said.code, said.out) == (code, "")
    assert re.match(f"error: {says}", said.err), said.err


def test_what_waits_for_a_paused_trigger_is_told_and_goes_on_when_it_is_resumed(cli: Cli, whole: BackgroundFleet) -> None:
    said = cli("trigger", "pause", "alone", "--reason", "stocktaking")
    assert (said.code, said.err) == (0, "paused: alone.in\n")
    held = cli("send", "alone", "7")
    assert held.code == 0
    assert "note: trigger 'in' of flow 'alone' is paused (stocktaking)" in held.err
    doctor = {row["says"] for row in cli("doctor", "--data", str(whole.fleet.server.data), "-o", "json").rows if row["check"] == "triggers"}
    members = [row["says"] for row in cli("doctor", "-o", "json").rows if row["check"] == "members"]
    assert "1 trigger process" in members[0]
    assert any(re.match(r"alone.in is paused since .* \(stocktaking\); 1 message of its events wait", says) for says in doctor), doctor
    assert any(says.startswith("orders.broken (kafka): SOURCE_") for says in doctor), "the doctor names what fails"
    assert rows(cli)["alone.in"]["reason"] == "stocktaking"
    assert cli("trigger", "resume", "alone").err == "running: alone.in\n"
    assert whole.do(ended(whole, held.out.strip())) == 7
    assert cli("trigger", "disable", "alone", "in").err == "disabled: alone.in\n"
    assert cli("trigger", "fire", "alone", "in").code == 2
    assert cli("trigger", "enable", "alone").err == "running: alone.in\n"


def test_what_is_decided_about_all_triggers_of_a_flow_leaves_out_those_that_it_makes_no_sense_for(cli: Cli) -> None:
    assert cli("trigger", "pause", "orders").code == 0
    assert cli("trigger", "disable", "orders", "nightly").code == 0
    said = cli("trigger", "resume", "orders")
    assert said.code == 0
    assert said.err.splitlines()[:3] == ["running: orders.desk", "running: orders.inbox", "running: orders.broken"]
    assert re.fullmatch("left as it is: .*'nightly'.*jetfleet trigger enable orders nightly.*", said.err.splitlines()[3])
    assert cli("trigger", "resume", "orders", "nightly").code == 2
    assert cli("trigger", "enable", "orders", "nightly").code == 0


def test_a_process_that_serves_triggers_tells_what_it_does_takes_calls_and_ends_in_order(whole: BackgroundFleet, tmp_path: Path) -> None:
    metrics = free_port()
    process = CommandProcess(
        tmp_path / "log", "trigger", "serve", "--nats", whole.url, "--data", str(tmp_path), "--flow", "orders", "--flow", "nix",
        "--type", "manual",
        "--http", "127.0.0.1:0", "--metrics-port", str(metrics), "--log-format", "json",
    )  # fmt: skip
    try:
        end = time.monotonic() + DEADLINE_S
        while "serves triggers" not in process.log.read_text():
            assert time.monotonic() < end and process.alive, process.log.read_text()
            time.sleep(0.02)
        (warned,) = [line for line in process.log.read_text().splitlines() if "no deployed flow is called so" in line]
        assert json.loads(warned)["flow"] == "nix"
        url = re.findall(r"(http://\S+/-/fire)/FLOW", process.log.read_text())[0]
        call = urllib.request.Request(f"{url}/orders/desk", b'{"id": 9}', {"Content-Type": "application/json"})
        with urllib.request.urlopen(call) as answer:
            assert answer.status == 202
            run = json.load(answer)["run"]
        assert whole.do(ended(whole, run)) == {"id": 9, "rush": False}
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
            page = answer.read().decode()
        assert 'jetfleet_trigger_state{flow="orders",state="listening",trigger="desk",type="manual"} 1.0' in page
        assert process.end() == 0
    finally:
        process.kill_if_alive()


async def ended(whole: BackgroundFleet, run: str) -> Any:
    return (await (await whole.fleet.client.handle(run)).result(20)).output
