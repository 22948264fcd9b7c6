"""What a drawn flow shows, in each format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from jetfleet.schemas.cli import main
from jetfleet.schemas.plan.drawing import FORMATS, draw
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.source.loader import parse_flow

EXAMPLES = Path(__file__).parents[2] / "examples"


def plan_of(text: str) -> Plan:
    return parse_flow(dedent(text).encode()).require()[1]


def outline_of(text: str) -> list[str]:
    """The lines of the graph, without title, triggers and the sections behind it."""
    return draw(plan_of(text)).split("\n\n")[1].splitlines()


def test_a_chain_is_drawn_on_one_level() -> None:
    assert outline_of("""
        name: chain
        nodes: {a: {type: std::log}, b: {type: std::log}, c: {type: std::log}}
        edges: [{from: a, to: b}, {from: b, to: c}]
    """) == ["a  std::log  <- start", "b  std::log", "c  std::log"]


def test_branches_are_indented_and_their_join_stands_where_they_parted() -> None:
    assert outline_of("""
        name: diamond
        nodes:
          s: {type: std::switch, config: {expression: "amount > 10"}}
          yes_: {type: std::log}
          join: {type: std::merge}
        edges: [{from: s.true, to: yes_}, {from: s.false, to: join}, {from: yes_, to: join}]
    """) == [
        "s        std::switch  amount > 10  <- start",
        "+- true",
        "|  yes_  std::log",
        "|  -> join",
        "+- false -> join",
        "join     std::merge   all  <- s.false, yes_",
    ]


def test_a_loop_shows_its_bound_its_body_and_the_way_back() -> None:
    assert outline_of("""
        name: loop
        nodes: {l: {type: std::loop, config: {max_iterations: 3, until_true: ok}}, body: {type: std::log}, after: {type: std::log}}
        edges: [{from: l.body, to: body}, {from: body, to: l, loop_back: true}, {from: l.done, to: after}]
    """) == [
        "l         std::loop  at most 3 rounds, until ok  <- start",
        "+- continue: each round",
        ":  body   std::log",
        ":  ^- l",
        "+- exit",
        "|  after  std::log",
    ]


def test_a_loop_that_an_edge_closes_leads_back_to_the_node_that_the_edge_names() -> None:
    lines = outline_of("""
        name: poll
        nodes: {poll: {type: std::log}, pause: {type: std::delay, config: {duration_ms: 90000}}}
        edges: [{from: poll, to: pause, condition: "${status} != 200"}, {from: pause, to: poll, loop_back: true}]
    """)
    assert lines == [
        "(loop)                   at most 10000 rounds  <- start",
        "+- continue: each round",
        ":  poll      std::log",
        ":  +- if ${status} != 200",
        ":  |  pause  std::delay  90 s",
        ":  |  ^- poll",
    ]


def test_the_merge_that_closes_a_split_stands_outside_of_its_body() -> None:
    lines = outline_of("""
        name: split
        nodes: {s: {type: std::split, config: {field: xs}}, work: {type: std::log}, all_: {type: std::merge}}
        edges: [{from: s.item, to: work}, {from: work, to: all_}]
    """)
    assert lines[1:] == ["+- item: each item", ":  work  std::log", ":  -> all_", "all_     std::merge  all  <- work"]


def test_scopes_and_compensations_are_told_on_the_nodes_and_in_sections_of_their_own() -> None:
    drawn = draw(plan_of((EXAMPLES / "payment.yaml").read_text()))
    assert "+- payment fails\n|  apology" in drawn
    assert re.search(r"^charge .*\[in payment\]$", drawn, re.M)
    around = "queue payments, 5 attempts, within 30 s, 1 at a time per ${trigger.payload.customer}, undone by refund"
    assert f"  charge  shop.charge  {around}\n" in drawn
    assert "  refund  shop.refund  undoes charge" in drawn
    assert "scopes\n  payment  try, within 1 min, on error apology" in drawn


def test_disabled_nodes_and_triggers_are_marked() -> None:
    drawn = draw(
        plan_of("""
        name: off
        triggers: [{id: t, type: manual, enabled: false}]
        nodes: {a: {type: std::log, enabled: false}}
        edges: [{from: t, to: a}]
    """)
    )
    assert "> t  manual  (disabled)  -> a" in drawn
    assert "[disabled]" in drawn


def test_a_chain_of_thousands_is_drawn_without_a_recursion_limit() -> None:
    nodes = ", ".join(f"n{i}: {{type: std::switch, config: {{condition: always}}}}" for i in range(3_000))
    edges = ", ".join(f"{{from: n{i}.true, to: n{i + 1}}}" for i in range(2_999))
    plan = plan_of(f"name: long\nsettings: {{limits: {{nodes: 3000}}}}\nnodes: {{{nodes}}}\nedges: [{edges}]")
    assert "n2999" in draw(plan)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_node_and_trigger_of_every_example_is_in_every_format(example: Path, format_: str) -> None:
    plan = plan_of(example.read_text())
    drawn = draw(plan, format_)
    for name in [*(node.id for node in plan.nodes if not node.hidden), *(trigger.id for trigger in plan.triggers)]:
        assert name in drawn


def test_outlines_are_plain_ascii() -> None:
    for example in EXAMPLES.glob("*.yaml"):
        assert draw(plan_of(example.read_text())).isascii()


def test_json_names_nodes_edges_and_boxes() -> None:
    drawn = json.loads(draw(plan_of((EXAMPLES / "loop.yaml").read_text()), "json"))
    assert {"source": "double", "port": "out", "target": "squares", "kind": "back", "condition": None} in drawn["edges"]
    assert {node["id"]: node["box"] for node in drawn["nodes"]}["double"] == "body squares"
    assert drawn["boxes"] == [{"key": "body squares", "caption": "each round of squares", "parent": ""}]


def test_text_from_the_flow_cannot_break_out_of_a_diagram() -> None:
    plan = plan_of("""
        name: quotes
        nodes: {s: {type: std::switch, config: {expression: '${a} == "<b> #1"'}}, t: {type: std::log}}
        edges: [{from: s.true, to: t}]
    """)
    assert r"\"<b> #1\"" in draw(plan, "dot")
    label = re.search(r'n0\{"(.*)"\}', draw(plan, "mermaid"))
    assert label is not None
    assert "#quot;#lt;b#gt; #35;1" in label[1]
    assert '"' not in label[1]


def test_boxes_are_nested_in_diagrams_as_they_are_in_the_flow() -> None:
    drawn = draw(
        plan_of("""
        name: nested
        nodes:
          each: {type: std::split, config: {field: xs}}
          again: {type: std::loop, config: {max_iterations: 2}}
          work: {type: std::log}
          sorry: {type: std::log}
        scopes: {careful: {nodes: [work], on_error: sorry}}
        edges: [{from: each.item, to: again}, {from: again.body, to: work}, {from: work, to: again}, {from: sorry, to: again}]
    """),
        "mermaid",
    )
    opened = [line.strip() for line in drawn.splitlines() if line.strip().startswith("subgraph") or line.strip() == "end"]
    assert [line.split('"')[1].split(":")[0] if '"' in line else line for line in opened] == [
        "each item of each",
        "each round of again",
        "careful",
        "end",
        "end",
        "end",
    ]


def test_the_graph_command_prints_the_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    file = EXAMPLES / "split.yaml"
    assert main(["graph", str(file)]) == 0
    assert capsys.readouterr().out == draw(plan_of(file.read_text())) + "\n"


def test_the_graph_command_refuses_an_invalid_flow_with_its_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\nnodes: {a: {type: std::log}}\nedges: [{from: a, to: b}]\n")
    assert main(["graph", str(file)]) == 5
    assert f"{file}:3:" in capsys.readouterr().err
