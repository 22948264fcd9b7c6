"""The commands about flows as a whole, as a person types them, against one fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.workers.up.fleet import FleetSettings

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.commands import Cli, Said, cli_for
from ..fleet.fleets import NODES

FLOW = """
name: {name}
version: "{version}"
triggers: [{{id: go, type: manual}}]
settings: {{max_concurrent_executions: {most}}}
nodes:
  wait: {{type: std::wait, config: {{signal: go}}}}
  after: {{type: f.echo}}
edges: [{{from: go, to: wait}}, {{from: wait, to: after}}]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    settings = FleetSettings(data=tmp_path_factory.mktemp("flows") / "data", port=0, partitions=2, nodes=(NODES,), log_level="error")
    with BackgroundFleet(settings) as one:
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_for(whole.url, monkeypatch, capsys)


def file(folder: Path, name: str, version: str = "1.0", most: int = 100) -> str:
    path = folder / f"{name}-{version}.yaml"
    path.write_text(FLOW.format(name=name, version=version, most=most))
    return str(path)


def open_runs(whole: BackgroundFleet, name: str, count: int) -> list[str]:
    """So many runs that wait."""

    async def started() -> list[str]:
        client = whole.fleet.client
        runs = [await client.send(name, {"n": n}) for n in range(count)]
        for id in runs:
            while await client.look(id) is None:
                pass
        return runs

    return whole.do(started())


def test_pause_show_and_resume(cli: Cli, tmp_path: Path) -> None:
    assert cli("deploy", file(tmp_path, "paused")).code == 0
    said = cli("flow", "pause", "paused", "--reason", "a move", "--runs")
    assert (said.code, said.err) == (0, "paused: paused, with its runs (a move)\n")
    assert cli("send", "paused").code == 0
    shown = cli("flow", "show", "paused").out
    assert "paused, with its runs since" in shown and "a move" in shown and "1 message of events" in shown
    (row,) = [row for row in cli("flow", "list", "-o", "json").rows if row["flow"] == "paused"]
    assert (row["state"], row["runs"], row["waiting"], row["open"], row["deployed"]) == ("paused", True, 1, 0, True)
    assert "paused, with its runs" in cli("flow", "list").out
    again = cli("deploy", file(tmp_path, "paused", "1.1"))
    assert "note: paused is paused; `jetfleet flow resume paused`" in again.err
    assert cli("flow", "resume", "paused").err.startswith("running: paused")
    assert "running" in cli("flow", "show", "paused").out


def test_shares_versions_and_a_rollback(cli: Cli, tmp_path: Path) -> None:
    cli("deploy", file(tmp_path, "moved"))
    said = cli("deploy", file(tmp_path, "moved", "2.0"), "--share", "10%", "-o", "json")
    assert said.rows[0]["share"] == 10.0
    assert "1.0 90%, 2.0 10%" in cli("flow", "list").out
    assert cli("flow", "move", "moved", "--share", "12.5").err.endswith("12.5%\n")
    rows = cli("flow", "versions", "moved", "-o", "json").rows
    assert [(row["version"], row["share"], row["open"]) for row in rows] == [("2.0", 12.5, 0), ("1.0", 87.5, 0)]
    assert "100%" in cli("flow", "move", "moved", "--share", "100%").err
    assert cli("flow", "move", "moved", "--share", "50%").err.startswith("error: NOTHING_TO_MOVE")
    assert "1.0 (" in cli("flow", "rollback", "moved").err
    assert "2.0 (" in cli("flow", "rollback", "moved", "--to", rows[0]["digest"][:8]).err
    for wrong in (("--share", "all"), ("--share", "101%"), ()):
        assert cli("flow", "move", "moved", *wrong).code == 2
    said = cli("flow", "rollback", "moved", "--to", "9.9")
    assert said.code == 1 and said.err.startswith("error: UNKNOWN_VERSION") and "it has: 2.0 (" in said.err
    assert cli("flow", "show", "movde").err.startswith("error: UNKNOWN_FLOW no flow is called 'movde' (did you mean 'moved'?)")


def test_a_drain_waits_until_nothing_is_open(cli: Cli, whole: BackgroundFleet, tmp_path: Path) -> None:
    cli("deploy", file(tmp_path, "drained"))
    runs = open_runs(whole, "drained", 3)
    said = cli("flow", "drain", "drained", "--timeout", "3", "--grace", "5", "--reason", "the end")
    assert said.code == 0 and said.err.splitlines()[-1] == "drained: drained"
    assert "draining: drained: 3 runs open, cancelled in" in said.err
    assert {whole.do(until_ended(whole, id)) for id in runs} == {"cancelled"}
    assert "drained" in cli("flow", "list").out
    cli("flow", "resume", "drained")
    open_runs(whole, "drained", 2)
    cli("deploy", file(tmp_path, "drained", "2.0"))
    said = cli("flow", "drain", "drained", "--version", "2.0")
    assert said.code == 1 and "VERSION_IS_CURRENT" in said.err
    said = cli("flow", "drain", "drained", "--version", "1.0", "--timeout", "0")
    assert said.code == 0 and said.err.splitlines()[-1] == "drained: drained 1.0"
    open_runs(whole, "drained", 1)
    assert cli("flow", "drain", "drained", "--no-wait").err == "draining: drained\n"
    assert "open runs are cancelled in 29 min" in cli("flow", "show", "drained").out


def test_undeploy_drains_first_if_asked_to(cli: Cli, whole: BackgroundFleet, tmp_path: Path) -> None:
    path = tmp_path / "ends.yaml"
    path.write_text(FLOW.format(name="ends", version="1", most=5).replace("settings: {", "settings: {drain_timeout_ms: 1, "))
    cli("deploy", str(path))
    (id,) = open_runs(whole, "ends", 1)
    said = cli("undeploy", "ends", "--drain", "nowhere")
    assert said.code == 1 and "undeployed: ends" in said.err and "UNKNOWN_FLOW" in said.err
    assert whole.do(until_ended(whole, id)) == "cancelled"
    states = {row["flow"]: row["state"] for row in cli("flow", "list", "-o", "json").rows}
    assert "ends" not in states, "nothing is open or decided any more"
    cli("deploy", str(path))
    assert [row["state"] for row in cli("flow", "list", "-o", "json").rows if row["flow"] == "ends"] == ["running"]


def test_diff_tells_what_two_definitions_differ_in(cli: Cli, tmp_path: Path) -> None:
    one, other = file(tmp_path, "differs"), file(tmp_path, "differs", "2.0", most=7)
    text = Path(other).read_text().replace("after: {type: f.echo}", "after: {type: f.echo, timeout_ms: 5000}\n  more: {type: f.echo}")
    Path(other).write_text(text.replace("{from: wait, to: after}", "{from: wait, to: more}, {from: more, to: after}"))
    said = cli("flow", "diff", one, other, "-o", "json")
    found = {(row["change"], row["what"], row["name"]): (row["before"], row["after"]) for row in said.rows}
    assert said.code == 1 and found == {
        ("changed", "version", ""): ("1.0", "2.0"),
        ("changed", "settings", "max_concurrent_executions"): (100, 7),
        ("added", "node", "after.timeout_ms"): (None, 5000),
        ("added", "node", "more"): (None, {"type": "f.echo"}),
        ("removed", "edge", "wait -> after"): ({"from": "wait", "to": "after"}, None),
        ("added", "edge", "wait -> more"): (None, {"from": "wait", "to": "more"}),
        ("added", "edge", "more -> after"): (None, {"from": "more", "to": "after"}),
    }
    cli("deploy", one)
    cli("deploy", other)
    assert cli("flow", "diff", "differs@1.0", "differs").out == cli("flow", "diff", one, other).out
    assert cli("flow", "diff", "differs", other) == Said(0, "", "they mean the same\n")
    assert cli("flow", "diff", "differs@3.0", other).err.startswith("error: UNKNOWN_VERSION")


async def until_ended(whole: BackgroundFleet, id: str) -> str:
    handle = await whole.fleet.client.handle(id)
    return (await handle.result(15)).status
