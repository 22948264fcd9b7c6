"""Runs carried from one fleet to another in a file: with their values, to be looked at, or to go on."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
from msgspec.structs import replace

from jetfleet.broker.study.verification import Verdict
from jetfleet.broker.transfer.writing import JetrunWriter
from jetfleet.schemas import payload, subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.records import RunStarted
from jetfleet.schemas.ref import Ref

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES, flow
from ..steering.commands import Cli, Said, sent, stands
from .conftest import VALUES

LARGE = flow("large", {"load": {"type": "v.arrays"}, "keep": {"type": "f.echo"}}, payloads={"inline_max": "1KiB"})
WAITING = flow("waiting", {"a": {"type": "f.echo"}, "ok": {"type": "std::wait", "config": {"signal": "go"}}, "b": {"type": "f.echo"}})
PARENT = flow("parent", {"child": {"type": "std::subflow", "config": {"flow": "below"}}, "after": {"type": "f.echo"}})
BELOW = flow("below", {"a": {"type": "f.echo"}})


@pytest.fixture(scope="module", autouse=True)
def deployed(whole: BackgroundFleet) -> None:
    for each in (LARGE, WAITING, BELOW, PARENT):
        whole.do(whole.fleet.client.deploy(each, nodes=[NODES, VALUES]))


def at(other: BackgroundFleet, cli: Cli, *args: str) -> Said:
    """A command to the other fleet."""
    return cli(*args, "--nats", other.url)


def carried(cli: Cli, run: str, file: Path, *more: str) -> dict[str, Any]:
    said = cli("runs", "export", run, "-o", str(file), "--json", *more)
    assert said.code == 0, said.err
    made: dict[str, Any] = json.loads(said.out)
    return made


def verified(fleet: BackgroundFleet, run: str) -> Verdict:
    """What the fleet says of it, once its reader knows it."""

    async def known() -> Verdict:
        client = fleet.fleet.client
        while not (await client.runs(f"id = {run} and status = ended")).rows:
            pass
        return await client.verify(run)

    return fleet.do(known())


def test_a_run_with_large_values_is_the_same_run_in_another_fleet(
    whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path
) -> None:
    run = sent(cli, "large", '{"n": 1}')
    stands(whole, run, "completed")
    file = tmp_path / "large.jetrun"
    made = carried(cli, run, file)
    assert made["payloads"] >= 20 and made["lost"] == []
    before = whole.do(whole.fleet.client.show(run))

    said = at(other, cli, "runs", "import", str(file))
    assert (said.code, said.out.strip()) == (0, run), said.err
    verdict = verified(other, run)
    assert (verdict.status, verdict.records) == ("sound", before.records)
    after = other.do(other.fleet.client.show(run))
    assert (after.status, after.started_at, after.ended_at) == (before.status, before.started_at, before.ended_at)
    views = after.nodes()
    assert {key: (view.status, view.attempts) for key, view in views.items()} == {
        key: (view.status, view.attempts) for key, view in before.nodes().items()
    }
    arrays = other.do(other.fleet.client.fetch(after.output))
    assert len(arrays) == 20
    for n, array in enumerate(arrays):
        assert numpy.array_equal(array, numpy.arange(1_000.0) + n)

    again = at(other, cli, "runs", "import", str(file))
    assert (again.code, "RUN_EXISTS" in again.err, "--id" in again.err) == (1, True, True)
    renamed = at(other, cli, "runs", "import", str(file), "--id", "copy-of-large")
    assert renamed.out.strip() == "copy-of-large"
    assert verified(other, "copy-of-large").status == "sound"
    assert [row["run_id"] for row in at(other, cli, "runs", "list", f"source = {run}", "-o", "json").rows] == ["copy-of-large"]
    assert other.do(other.fleet.client.flow_views()) == [], "its flow is there for the run, and not deployed"


def test_a_file_is_replayed_without_any_server(whole: BackgroundFleet, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = sent(cli, "waiting", '{"n": 1}')
    stands(whole, run, "running")
    cli("runs", "signal", run, "go")
    stands(whole, run, "completed")
    journal = whole.do(whole.fleet.client.history(run))
    file = tmp_path / "one.jetrun"
    carried(cli, run, file)
    monkeypatch.setenv("JETFLEET_NATS", "nats://127.0.0.1:1")
    said = cli("runs", "replay", str(file), "--json")
    assert said.code == 0, said.err
    assert [(row["record"], row["kind"]) for row in said.rows] == [(n, type(record).__name__) for n, record in enumerate(journal)]
    assert [effect["kind"] for effect in said.rows[-1]["effects"]] == ["FinishRun"]
    assert {"node": "run", "before": "running", "after": "completed"} in said.rows[-1]["changes"]
    assert "the journal leads to what was recorded: completed" in said.err
    some = cli("runs", "replay", str(file), "--until", "1")
    assert some.out.count("asks for") >= 1 and "Signal" not in some.out

    damaged = tmp_path / "damaged.jetrun"
    damaged.write_bytes(file.read_bytes()[:-40])
    refused = cli("runs", "replay", str(damaged))
    assert (refused.code, "DAMAGED_FILE" in refused.err) == (1, True)


def test_an_end_that_the_journal_does_not_lead_to_is_told_by_a_replay(whole: BackgroundFleet, cli: Cli, tmp_path: Path) -> None:
    run = sent(cli, "waiting", '{"n": 1}')
    stands(whole, run, "running")
    cli("runs", "kill", run)
    stands(whole, run, "killed")
    client = whole.fleet.client
    found = whole.do(client.studied(run))
    summary = whole.do(client.summary(run, len(found.journal)))
    definition = client.flows.definition(found.plan.digest)
    assert summary is not None and definition is not None
    writer = JetrunWriter(tmp_path / "lie.jetrun")
    writer.add_run(definition, [encode_record(record) for record in found.journal], "completed", replace(summary, status="completed"))
    writer.finish(1)
    said = cli("runs", "replay", str(tmp_path / "lie.jetrun"))
    assert (said.code, "lead to killed, and the summary says completed" in said.err) == (1, True)


def test_a_run_that_waits_goes_on_in_another_fleet_if_it_is_told_to(
    whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path
) -> None:
    run = sent(cli, "waiting", '{"n": 7}')
    while "waits for the signal go" not in cli("runs", "explain", run).out:
        pass
    file = tmp_path / "open.jetrun"
    carried(cli, run, file)
    assert at(other, cli, "runs", "import", str(file), "--go-on", "--id", "moved-7").out.strip() == "moved-7"
    stands(other, "moved-7", "running")
    at(other, cli, "runs", "signal", "moved-7", "go", '"yes"')
    assert stands(other, "moved-7", "completed").status == "completed"
    views = other.do(other.fleet.client.show("moved-7")).nodes()
    assert [views[key].status for key in ("a", "ok", "b")] == ["completed"] * 3
    assert f"It came of run {run}" in at(other, cli, "runs", "explain", "moved-7").out
    assert verified(other, "moved-7").status == "sound"

    assert at(other, cli, "runs", "import", str(file), "--id", "looked-at").out.strip() == "looked-at"
    verified(other, "looked-at")
    shown = other.do(other.fleet.client.show("looked-at"))
    assert (shown.status, shown.nodes()["a"].status, shown.nodes()["b"].status) == ("killed", "completed", "skipped")
    assert whole.do(whole.fleet.client.standing(run)).status == "running", "where it came from, nothing has changed"


def test_a_run_that_has_ended_cannot_be_imported_to_go_on(whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path) -> None:
    run = sent(cli, "waiting", '{"n": 1}')
    stands(whole, run, "running")
    cli("runs", "kill", run)
    stands(whole, run, "killed")
    file = tmp_path / "ended.jetrun"
    carried(cli, run, file)
    said = at(other, cli, "runs", "import", str(file), "--go-on", "--id", "ended-1")
    assert (said.code, "had ended (killed)" in said.err) == (2, True)
    assert other.do(other.fleet.client.runs("id = ended-1")).rows == []


def test_sub_flows_come_along_with_their_parent(whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path) -> None:
    run = sent(cli, "parent", '{"n": 1}')
    stands(whole, run, "completed")
    file = tmp_path / "family.jetrun"
    while len(made := carried(cli, run, file, "--with-children")["runs"]) < 2:  # the reader may be a moment behind
        file.unlink()
    assert [row["run_id"] for row in made] == [run, f"{run}.child"]
    assert at(other, cli, "runs", "import", str(file), "--id", "kin").out.split() == ["kin", "kin.child"]
    assert [verified(other, each).status for each in ("kin", "kin.child")] == ["sound", "sound"]
    tree = other.do(other.fleet.client.tree("kin"))
    assert [member.run for member in tree.everybody()] == ["kin", "kin.child"]


def test_a_value_that_is_lost_is_listed_and_the_rest_of_the_run_comes_along(
    whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path
) -> None:
    gone = Ref("bytes", 100_000, 7, digest="ab" * 32)

    async def send() -> None:
        headers = {"Content-Type": "application/msgpack"}
        await whole.fleet.client.connection.publisher.publish(
            subjects.event("waiting", "go"), payload.encode({"n": 1, "large": gone}), id="lost", headers=headers
        )

    whole.do(send())
    run = subjects.run_id("waiting", "lost")
    stands(whole, run, "failed")
    file = tmp_path / "lost.jetrun"
    (made,) = cli("runs", "export", run, "-o", str(tmp_path / "first.jetrun"), "--json").rows
    assert made["payloads"] == 0 and made["lost"][0]["reason"].startswith("PAYLOAD_LOST")
    said = cli("runs", "export", run, "-o", str(file))
    assert said.code == 0 and f"lost: {gone} of run {run}: PAYLOAD_LOST" in said.err
    brought = at(other, cli, "runs", "import", str(file))
    assert brought.out.strip() == run and f"lost: {gone}" in brought.err
    assert verified(other, run).chain.hex() == made["runs"][0]["chain"], "nothing had to be changed, so it is the same journal"
    started = other.do(other.fleet.client.history(run))[0]
    assert isinstance(started, RunStarted) and payload.decode(started.payload)["large"] == gone


def test_what_cannot_be_imported_or_exported_is_said_and_changes_nothing(other: BackgroundFleet, cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jetrun"
    bad.write_bytes(b"PK\x03\x04 nothing")
    assert "DAMAGED_FILE" in at(other, cli, "runs", "import", str(bad)).err
    assert "there is no file" in at(other, cli, "runs", "import", str(tmp_path / "none.jetrun")).err
    run = sent(cli, "waiting", '{"n": 1}')
    assert "exists; name another" in cli("runs", "export", run, "-o", str(bad)).err
    good = tmp_path / "good.jetrun"
    carried(cli, run, good)
    for id in ("a b", "a*", ">", "."):
        assert at(other, cli, "runs", "import", str(good), "--id", id).code == 2, id


def test_a_file_with_a_value_that_was_exchanged_leaves_nothing_behind(
    whole: BackgroundFleet, other: BackgroundFleet, cli: Cli, tmp_path: Path
) -> None:
    run = sent(cli, "large", '{"n": 2}')
    stands(whole, run, "completed")
    file, forged = tmp_path / "large.jetrun", tmp_path / "forged.jetrun"
    carried(cli, run, file)
    with zipfile.ZipFile(file) as good, zipfile.ZipFile(forged, "w") as bad:
        names = good.namelist()
        last = [name for name in names if name.startswith("payloads/")][-1]
        for name in names:
            data = good.read(name)
            bad.writestr(name, bytes(len(data)) if name == last else data)
    said = at(other, cli, "runs", "import", str(forged), "--id", "forged")
    assert (said.code, "DAMAGED_FILE" in said.err) == (1, True)
    assert other.do(other.fleet.client.runs("id = forged")).rows == []
