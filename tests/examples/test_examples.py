"""The examples do what their headers say: each is valid, and the command in its header is run here as it stands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.cli import main
from jetfleet.schemas.source.loader import load_flow
from jetfleet.workers import Registry

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FLOWS = sorted(EXAMPLES.glob("*.yaml"))
ORDERS = EXAMPLES / "orders.jsonl"

Run = Callable[..., dict[str, Any]]


def command_of(flow: Path, label: str = "run") -> list[str]:
    """The arguments of the `jetfleet` command in a flow's header, which may go over several comment lines."""
    comments = "\n".join(line.removeprefix("#") for line in flow.read_text().splitlines() if line.startswith("#"))
    found = re.search(rf"^ +{label} +jetfleet ((?:.*\\\n)*.*)$", comments, re.MULTILINE)
    assert found is not None, f"the header of {flow.name} has no line `{label}   jetfleet …`"
    return shlex.split(found[1].replace("\\\n", " "))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example once, in virtual time, and gives its result as `-o json` prints it."""

    def run(name: str, event: Any, *more: str, code: int = 0) -> dict[str, Any]:
        arguments = ["run", f"examples/{name}.yaml", "--local", "--virtual-time", "-o", "json", "--input", json.dumps(event), *more]
        assert main(arguments) == code
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def ends(result: dict[str, Any]) -> dict[str, str]:
    """Node → port for those that ended on one."""
    return {name: view["port"] for name, view in result["nodes"].items() if view["port"] is not None}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)
def test_every_example_is_valid_without_a_warning(flow: Path) -> None:
    registry = Registry()
    registry.load(str(EXAMPLES / "shop.py"))
    assert load_flow(flow, registry.node_types()).problems == ()


@pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)
def test_the_command_in_every_header_completes(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command_of(flow), "--virtual-time"]) == 0
    out, err = capsys.readouterr()
    assert "completed" in out + err


@pytest.mark.parametrize(("amount", "port"), [(100, "true"), (-500, "false")])
def test_getting_started_accepts_only_positive_amounts(run: Run, amount: int, port: str) -> None:
    result = run("getting_started", {"order_id": "A-1", "amount": amount})
    taken, other = ("accept", "refuse") if port == "true" else ("refuse", "accept")
    assert ends(result) == {"validate": "out", "positive": port, taken: "out"}
    assert result["nodes"][other]["status"] == "skipped"


@pytest.mark.parametrize(("risk", "branch", "other"), [(0.95, "flag_order", "process_normally"), (0.8, "process_normally", "flag_order")])
def test_an_order_takes_one_branch_and_the_merge_goes_on_with_that_one(run: Run, risk: float, branch: str, other: str) -> None:
    order = {"order_id": "A-1", "risk_score": risk}
    result = run("order_processing", order, "--trigger", "api")
    assert result["nodes"][other]["status"] == "skipped"
    assert result["nodes"]["merge_results"]["output"] == {branch: order}
    assert result["nodes"]["final_log"]["status"] == "completed"


def test_the_disabled_sweep_never_fires(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "examples/order_processing.yaml", "--local", "--trigger", "hourly_sweep"]) == 2
    assert "disabled" in capsys.readouterr().err


def test_with_both_triggers_enabled_the_order_flow_asks_which_one_fired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = tmp_path / "both.yaml"
    flow.write_text((EXAMPLES / "order_processing.yaml").read_text().replace("enabled: false", "enabled: true"))
    assert main(["run", str(flow), "--local", "--input", "{}"]) == 2
    said = capsys.readouterr().err
    assert "api" in said
    assert "hourly_sweep" in said
    assert main(["run", str(flow), "--local", "--trigger", "hourly_sweep"]) == 0


def test_the_thousand_orders_go_the_way_of_their_risk(capsys: pytest.CaptureFixture[str]) -> None:
    orders = [json.loads(line) for line in ORDERS.read_text().splitlines()]
    assert main([*command_of(EXAMPLES / "order_processing.yaml"), "-o", "json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"run_id"' in line]
    branches = Counter(name for result in results for name in result["output"])
    flagged = sum(order["risk_score"] > 0.8 for order in orders)
    assert len(orders) == 1000
    assert branches == {"flag_order": flagged, "process_normally": 1000 - flagged}


def test_the_orders_are_worth_looking_at() -> None:
    orders = [json.loads(line) for line in ORDERS.read_text().splitlines()]
    assert len({order["order_id"] for order in orders}) == 1000
    assert all(round(sum(line["price"] * line["quantity"] for line in order["items"]), 2) == order["amount"] for order in orders)
    assert any(order["risk_score"] == 0.8 for order in orders), "the boundary is among them"


def test_nobody_answering_within_the_hour_rejects_the_order(run: Run) -> None:
    result = run("approval", {"order_id": "A-1", "amount": 25_000})
    assert ends(result) == {"large": "true", "approval": "rejected", "rejected": "out"}
    assert result["nodes"]["approval"]["output"]["timed_out"] is True


@pytest.mark.parametrize(("name", "granted"), [("approval", "approved"), ("escalation", "process")])
def test_the_answer_in_the_header_of_a_flow_that_waits_is_taken(name: str, granted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command_of(EXAMPLES / f"{name}.yaml", "answer"), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"][granted]["status"] == "completed"


def test_a_small_order_waits_for_nobody(run: Run) -> None:
    result = run("approval", {"order_id": "A-1", "amount": 10_000})
    assert ends(result) == {"large": "false", "standard": "out", "granted": "out", "ship": "out"}


def test_an_unanswered_request_goes_to_the_director_and_is_refused_in_the_end(run: Run) -> None:
    result = run("escalation", {"order_id": "A-1", "amount": 25_000})
    assert ends(result) == {"manager": "escalated", "director": "rejected", "refused": "out", "close": "out"}


def test_the_loop_doubles_until_there_is_enough(run: Run) -> None:
    result = run("loop", {"grains": 3})
    assert result["output"] == {"grains": 1536.0}
    assert sum(name.startswith("double[") for name in result["nodes"]) == 9


def test_the_loop_does_nothing_where_there_is_enough_already(run: Run) -> None:
    assert run("loop", {"grains": 5_000})["output"] == {"grains": 5_000}


def test_the_split_adds_up_its_lines_in_order(run: Run) -> None:
    result = run("split", {"items": [{"price": 2.5, "quantity": 4}, {"price": 10, "quantity": 3}]})
    assert result["nodes"]["lines"]["output"] == [{"line_total": 10.0}, {"line_total": 30.0}]
    assert result["output"] == {"total": 40.0}


class TestPayment:
    """One run for each of the things that can happen to a payment."""

    SHOP = ("--nodes", "examples/shop.py")

    def order(self, amount: float) -> dict[str, Any]:
        return {"order_id": "A-1", "amount": amount, "customer": "c-7"}

    def test_an_order_is_charged_and_shipped(self, run: Run) -> None:
        result = run("payment", self.order(120.5), *self.SHOP)
        assert result["output"] == {"order": "A-1", "by": None, "receipt": f"{result['run_id']}/charge"}
        assert result["nodes"]["refund"]["status"] == "skipped"

    def test_a_busy_bank_is_asked_again_with_the_same_key(self, run: Run) -> None:
        result = run("payment", self.order(120.07), *self.SHOP)
        assert result["nodes"]["charge"]["attempts"] == 3
        assert result["output"]["receipt"] == f"{result['run_id']}/charge"

    def test_a_declined_card_is_not_tried_again_and_is_apologised_for(self, run: Run) -> None:
        result = run("payment", self.order(120.13), *self.SHOP)
        assert result["status"] == "completed"
        assert result["nodes"]["charge"]["attempts"] == 1
        assert result["nodes"]["apology"]["output"]["type"] == "card_declined"
        assert result["nodes"]["ship"]["status"] == "skipped"

    def test_what_cannot_be_shipped_is_refunded_and_the_run_fails_with_the_reason(self, run: Run) -> None:
        result = run("payment", self.order(120.99), *self.SHOP, code=1)
        assert result["error"]["type"] == "out_of_stock"
        assert result["nodes"]["refund"]["status"] == "completed"

    def test_a_large_order_is_charged_once_a_person_approves(self, run: Run) -> None:
        approved = json.dumps({"decision": "approve"})
        result = run("payment", self.order(25_000), *self.SHOP, "--signal", f"order-A-1={approved}")
        assert result["output"]["by"] == "approve"
        assert result["nodes"]["ship"]["status"] == "completed"

    def test_a_large_order_that_nobody_approves_is_never_charged(self, run: Run) -> None:
        result = run("payment", self.order(25_000), *self.SHOP)
        assert result["nodes"]["charge"]["status"] == "skipped"

    def test_an_order_without_a_customer_is_refused_before_anything_runs(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["run", "examples/payment.yaml", "--local", *self.SHOP, "--input", '{"order_id": "A-1", "amount": 1}']
        assert main(arguments) == 1
        assert "EVENT_REJECTED" in capsys.readouterr().err


def test_the_quickstart_runs_as_a_script() -> None:
    done = subprocess.run([sys.executable, "examples/quickstart.py"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "completed order 7 is on its way"


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert (EXAMPLES / "quickstart.py").read_text() in blocks


def test_the_readme_shows_a_graph_as_the_command_draws_it(capsys: pytest.CaptureFixture[str]) -> None:
    command, drawn = re.findall(r"^```\n\$ jetfleet (graph .*)\n((?:.*\n)*?)```$", (ROOT / "README.md").read_text(), re.MULTILINE)[0]
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == drawn
