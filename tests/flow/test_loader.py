"""Reading definitions: what is valid is understood, in both forms of triggers, as YAML and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from jetfleet.schemas.errors import InvalidFlow, UsageError
from jetfleet.schemas.flow.node_types import NodeType
from jetfleet.schemas.source.loader import Loaded, load_flow, parse_flow

Parse = Callable[..., Loaded]

SIMPLE = """\
name: simple
triggers:
  - {id: hook, type: webhook, params: {path: /in}}
nodes:
  log: {type: std::log, config: {message: got it}}
edges:
  - {from: hook, to: log}
"""

MANY_NODES = """\
name: many_nodes
settings: {max_concurrent_executions: 50, execution_timeout_ms: 30000}
triggers:
  - {id: hook, type: trigger::webhook, params: {port: 8080, path: /score}}
nodes:
  risky: {type: std::switch, config: {condition: {type: greater_than, field: risk_score, value: 0.8}}}
  flag: {type: std::log, config: {message: flagged}}
  normal: {type: std::log, config: {message: fine}}
  join: {type: std::merge, config: {strategy: wait_all}}
  final: {type: std::log}
edges:
  - {from: hook, to: risky}
  - {from: risky.true, to: flag}
  - {from: risky.false, to: normal}
  - {from: flag, to: join}
  - {from: normal, to: join}
  - {from: join, to: final}
"""

LOOP = """\
name: again
triggers: {start: {type: manual}}
nodes:
  repeat: {type: std::loop, config: {max_iterations: 10}}
  work: {type: std::log}
  after: {type: std::log}
edges:
  - {from: start, to: repeat}
  - {from: repeat.continue, to: work}
  - {from: work, to: repeat, loop_back: true}
  - {from: repeat.exit, to: after}
"""

ORDERS_AND_A_CLOCK = """\
name: order_processing
version: "1.0"
triggers:
  - {id: api, type: webhook, params: {method: POST, path: /api/orders}}
  - {id: hourly, type: cron, params: {schedule: "0 0 * * * *"}}
nodes:
  validate: {type: std::log}
  risk: {type: std::switch, config: {expression: "${risk_score} > 0.8"}}
  flag: {type: std::log}
  normal: {type: std::log}
  join: {type: std::merge}
  final: {type: std::log}
settings: {max_concurrent_executions: 100, execution_timeout_ms: 30000, circuit_breaker_threshold: 0.05}
edges:
  - {from: api, to: validate}
  - {from: hourly, to: validate}
  - {from: validate, to: risk}
  - {from: risk.true, to: flag}
  - {from: risk.false, to: normal}
  - {from: flag, to: join}
  - {from: normal, to: join}
  - {from: join, to: final}
"""


@pytest.mark.parametrize("text", [SIMPLE, MANY_NODES, LOOP, ORDERS_AND_A_CLOCK], ids=["simple", "many nodes", "loop", "orders"])
def test_a_valid_flow_has_a_plan_and_no_problems(text: str) -> None:
    loaded = parse_flow(text.encode())
    assert loaded.problems == ()
    flow, plan = loaded.require()
    assert plan.digest == flow.digest


def test_a_flow_that_uses_most_of_the_language_is_understood(orders: str) -> None:
    known = {name: NodeType(name) for name in ("shop.charge", "shop.refund")}
    loaded = parse_flow(orders.encode(), known_types=known)
    assert loaded.problems == ()
    flow, _ = loaded.require()
    assert flow.nodes["charge"].retry is not None and flow.nodes["charge"].retry.max_attempts == 5
    assert flow.triggers[0].id == "api"
    assert flow.settings.limits.nodes == 1_000


def test_a_name_alone_is_a_flow() -> None:
    loaded = parse_flow(b"name: nothing")
    assert loaded.flow is not None and loaded.flow.version == "1.0"
    assert [problem.code for problem in loaded.warnings] == ["EMPTY_FLOW"]


def test_triggers_mean_the_same_as_a_list_and_as_a_mapping() -> None:
    listed = parse_flow(SIMPLE.encode()).require()[0]
    mapped = parse_flow(SIMPLE.replace("- {id: hook, ", "hook: {").encode()).require()[0]
    assert mapped == listed
    assert mapped.digest == listed.digest


def test_a_mistake_in_the_mapping_form_is_found_where_it_is_written(parse: Parse) -> None:
    loaded = parse("""\
        name: f
        triggers:
          api:
            type: webhook
            params: {port: 99999}
          clock:
            type: cron
          both: {id: other, type: manual}
          empty:
    """)
    assert [(problem.code, problem.line, problem.column) for problem in loaded.errors] == [
        ("INVALID_VALUE", 5, 20),
        ("MISSING_FIELD", 6, 3),
        ("INVALID_VALUE", 8, 3),
        ("MISSING_FIELD", 9, 3),
    ]


def test_json_is_read_like_yaml() -> None:
    as_json = json.dumps(yaml.safe_load(SIMPLE), indent=2)
    assert parse_flow(as_json.encode()).require()[0] == parse_flow(SIMPLE.encode()).require()[0]


def test_a_flow_survives_being_written_and_read_again(orders: str) -> None:
    flow = parse_flow(orders.encode()).require()[0]
    written = yaml.safe_dump(flow.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=False)
    assert parse_flow(written.encode()).require()[0].digest == flow.digest


def test_shared_parts_are_written_once_with_an_alias(parse: Parse) -> None:
    loaded = parse("""\
        name: f
        metadata: {policies: {patient: &patient {max_attempts: 9}}}
        triggers: {t: {type: manual}}
        nodes:
          a: {type: std::log, retry: *patient}
          b: {type: std::log, retry: {<<: *patient, jitter: false}}
        edges: [{from: t, to: a}, {from: a, to: b}]
    """)
    flow, _ = loaded.require()
    assert [node.retry.max_attempts for node in flow.nodes.values() if node.retry] == [9, 9]


def test_an_infinite_number_in_a_config_is_no_obstacle(parse: Parse) -> None:
    loaded = parse("name: f\nconfig: {limit: .inf}\n")
    assert loaded.flow is not None and loaded.plan is not None
    assert loaded.plan.digest == loaded.flow.digest


def test_a_node_that_no_edge_touches_is_a_warning() -> None:
    loaded = parse_flow((SIMPLE + "  # done\n").replace("edges:", "  lost: {type: std::log}\nedges:").encode())
    assert loaded.flow is not None
    assert [(problem.code, problem.line) for problem in loaded.warnings] == [("ORPHANED_NODE", 6)]


def test_a_node_behind_a_lost_one_is_unreachable() -> None:
    text = SIMPLE.replace("edges:", "  lost: {type: std::log}\n  more: {type: std::log}\nedges:\n  - {from: lost, to: more}")
    assert {problem.code for problem in parse_flow(text.encode()).warnings} == {"UNREACHABLE_NODE"}


def test_a_disabled_node_or_trigger_is_still_checked(parse: Parse) -> None:
    loaded = parse(SIMPLE.replace("got it}}", "got it}, enabled: false}").replace("/in}}", "/in}, enabled: false}"))
    assert loaded.flow is not None and not loaded.flow.nodes["log"].enabled
    assert not loaded.flow.triggers[0].enabled


def test_problems_come_in_the_order_of_the_file(parse: Parse) -> None:
    loaded = parse("edges: [{from: a, to: b}]\nnodes: {a: {type: std::nope}}\nname: ''\n")
    lines = [problem.line for problem in loaded.problems]
    assert lines == sorted(lines) and len(lines) >= 3


def test_require_raises_all_errors(parse: Parse) -> None:
    with pytest.raises(InvalidFlow) as caught:
        parse("name: f\nfoo: 1\nbar: 2\n").require()
    assert len(caught.value.problems) == 2
    assert "f.yaml:2:1 UNKNOWN_KEY" in str(caught.value)


def test_a_file_is_read_and_named_in_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(dedent("name: f\nfoo: 1\n"))
    assert load_flow(file).errors[0].file == str(file)


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_flow(tmp_path / "missing.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_flow(tmp_path)
