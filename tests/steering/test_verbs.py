"""Telling one run what to do: what makes no sense is said, and nothing is written."""

from __future__ import annotations

import pytest

from ..fleet.background_fleet import BackgroundFleet
from .commands import Cli, sent, stands

WAITING = {"name": "waiting", "nodes": {"answer": {"type": "std::wait", "config": {"signal": "go"}}}}


@pytest.fixture(scope="module", autouse=True)
def flows(whole: BackgroundFleet) -> None:
    whole.do(whole.fleet.client.deploy(WAITING))


def journal(cli: Cli, run: str) -> list[str]:
    return [row["kind"] for row in cli("runs", "history", run, "-o", "json").rows]


def test_what_makes_no_sense_for_a_run_is_refused_and_writes_nothing(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "waiting")
    stands(whole, run, "running")
    assert cli("runs", "resume", run).err.startswith(f"error: NOT_PAUSED run {run} is not paused")
    assert cli("runs", "pause", run, "--reason", "lunch").err == f"{run} is told to pause\n"
    stands(whole, run, "paused")
    refused = cli("runs", "pause", run)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: ALREADY_PAUSED ") and f"jetfleet runs resume {run}" in refused.err
    assert cli("runs", "resume", run, "-o", "json").rows == [{"run_id": run, "outcome": "done", "fork": None}]
    assert cli("runs", "signal", run, "go", "7").code == 0
    stands(whole, run, "completed")
    before = journal(cli, run)
    assert before == ["RunStarted", "PauseRequested", "ResumeRequested", "SignalReceived"]
    for verb in (("cancel", run), ("kill", run), ("pause", run), ("resume", run), ("signal", run, "go")):
        said = cli("runs", *verb)
        assert (said.code, said.err.startswith(f"error: RUN_ENDED run {run} has completed already")) == (1, True), said.err
    assert journal(cli, run) == before


def test_the_beginning_of_an_id_is_enough_where_only_one_begins_so(cli: Cli, whole: BackgroundFleet) -> None:
    one, other = sent(cli, "waiting", "{}", "--id", "one"), sent(cli, "waiting", "{}", "--id", "other")
    for run in (one, other):
        stands(whole, run, "running")
    several = cli("runs", "cancel", "waiting-")
    assert several.code == 1 and several.err.startswith("error: AMBIGUOUS_RUN ") and one in several.err
    short = sent(cli, "waiting", "{}", "--id", "short")
    stands(whole, short, "running")
    assert cli("runs", "cancel", short[: len("waiting-") + 3]).err.startswith("error: UNKNOWN_RUN ")
    assert cli("runs", "kill", short[: len("waiting-") + 4]).code == 0
    assert cli("runs", "cancel", one[:-4]).err == f"{one} is told to end\n"
    stands(whole, one, "cancelled")
    assert one in cli("runs", "show", one[:-4]).out
    unknown = cli("runs", "cancel", other[:-1] + "!")
    assert unknown.err.startswith("error: UNKNOWN_RUN ") and f"did you mean '{other}'" in unknown.err
    stands(whole, other, "running")
    assert cli("runs", "kill", other).code == 0


@pytest.mark.parametrize(
    "args",
    [
        ("cancel",),
        ("cancel", "x", "--where", "flow=x"),
        ("cancel", "x", "--dry-run"),
        ("cancel", "--where", " "),
        ("cancel", "--where", "flow=x", "--rate", "0"),
        ("signal", "x"),
        ("signal", "x", "go", "{"),
        ("event", ""),
        ("fork", "x"),
        ("fork", "x", "--from", "a", "--set", "nonsense"),
    ],
)
def test_a_call_that_makes_no_sense_exits_with_2(cli: Cli, args: tuple[str, ...]) -> None:
    said = cli("runs", *args)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: USAGE ")


def test_a_filter_that_cannot_be_read_is_shown_with_a_mark_under_the_place(cli: Cli) -> None:
    for command in (("list",), ("cancel", "--where")):
        said = cli("runs", *command, "flow=waiting and statos=failed")
        assert said.code == 1
        error, shown, mark = said.err.splitlines()
        assert error.startswith("error: INVALID_SEARCH there is no field 'statos'; there are: id, flow")
        assert shown[mark.index("^") :].startswith("statos")
    (error,) = cli("runs", "list", "--status", "bogus").err.splitlines()
    assert error.startswith("error: INVALID_SEARCH no run has the status 'bogus'") and "column" not in error, "it stands in no filter"


def test_a_run_that_is_paused_with_its_flow_can_be_paused_itself_and_then_stays_so(cli: Cli, whole: BackgroundFleet) -> None:
    run = sent(cli, "waiting", "{}", "--id", "with-flow")
    stands(whole, run, "running")
    assert cli("flow", "pause", "waiting", "--runs").code == 0
    assert stands(whole, run, "paused").with_flow
    assert cli("runs", "pause", run).code == 0
    stands_itself(whole, run)
    assert cli("runs", "pause", run).err.startswith("error: ALREADY_PAUSED ")
    assert cli("flow", "resume", "waiting").code == 0
    assert cli("runs", "resume", run).code == 0
    stands(whole, run, "running")
    assert cli("runs", "kill", run).code == 0


def stands_itself(whole: BackgroundFleet, run: str) -> None:
    async def look() -> None:
        while (await whole.fleet.client.standing(run)).with_flow:
            pass

    whole.do(look())
