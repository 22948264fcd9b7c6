"""Every mistake has its own code, its place in the file and a hint; and it never hides the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jetfleet.schemas.flow.node_types import NodeType
from jetfleet.schemas.source.loader import Loaded

Parse = Callable[..., Loaded]

HEAD = "name: f\ntriggers:\n- {id: start, type: manual}\n"

NODES = "name: f\nnodes:\n"
TRIGGERS = "name: f\ntriggers:\n"
STARTED = HEAD + "nodes:\n"
STARTED_A = STARTED + "  a: {type: std::log}\n"
EDGE = "edges:\n- {from: start, to: a}\n"

MISTAKES = [
    ("an unknown key", "name: f\nnodez: {}\n", ("UNKNOWN_KEY", 2, 1)),
    ("an unknown key of a node", NODES + "  a: {type: std::log, retries: 3}\n", ("UNKNOWN_KEY", 3, 23)),
    ("an unknown key of a config", NODES + "  a: {type: std::log, config: {mesage: x}}\n", ("UNKNOWN_KEY", 3, 32)),
    ("an unknown node type", NODES + "  a:\n    type: std::swich\n", ("INVALID_NODE_TYPE", 4, 11)),
    ("an unknown trigger type", TRIGGERS + "- id: a\n  type: webhok\n", ("INVALID_TRIGGER_TYPE", 4, 9)),
    ("an unknown port", STARTED_A + "  b: {type: std::log}\n" + EDGE + "- {from: a.maybe, to: b}\n", ("UNKNOWN_PORT", 9, 10)),
    ("an unknown input port", STARTED_A + "edges:\n- {from: start, to: a.left}\n", ("UNKNOWN_PORT", 7, 21)),
    ("an edge to nowhere", STARTED_A + "edges:\n- {from: start, to: b}\n", ("INVALID_REFERENCE", 7, 21)),
    ("an edge from nowhere", STARTED_A + "edges:\n- {from: begin, to: a}\n", ("INVALID_REFERENCE", 7, 10)),
    ("an undeclared cycle", STARTED_A + "  b: {type: std::log}\n" + EDGE + "- {from: a, to: b}\n- {from: b, to: a}\n", ("CYCLE", 9, 3)),
    ("two triggers with one id", TRIGGERS + "- {id: a, type: manual}\n- {id: a, type: manual}\n", ("DUPLICATE_ID", 4, 8)),
    ("a node with a trigger's id", STARTED + "  start: {type: std::log}\n", ("DUPLICATE_ID", 5, 3)),
    ("a node written twice", NODES + "  a: {type: std::log}\n  a: {type: std::log}\n", ("DUPLICATE_KEY", 4, 3)),
    ("a reserved id", NODES + "  trigger: {type: std::log}\n", ("RESERVED_ID", 3, 3)),
    ("a number where text is meant", "name: f\nversion: 1.0\n", ("INVALID_TYPE", 2, 10)),
    ("text where a number is meant", NODES + "  a: {type: std::log, timeout_ms: soon}\n", ("INVALID_TYPE", 3, 35)),
    ("a list where a mapping is meant", NODES + "- {type: std::log}\n", ("INVALID_TYPE", 2, 1)),
    ("a number out of bounds", "name: f\nsettings: {circuit_breaker_threshold: 2}\n", ("INVALID_VALUE", 2, 39)),
    ("a misspelt choice", "name: f\nsettings: {on_failure: finsh}\n", ("INVALID_VALUE", 2, 24)),
    ("a bad size", "name: f\npayloads: {inline_max: -1KiB}\n", ("INVALID_VALUE", 2, 24)),
    ("a size above the limit", "name: f\npayloads: {inline_max: 600KiB}\n", ("INVALID_VALUE", 2, 24)),
    ("a bad duration", "name: f\nhistory: {keep: 3 weeks}\n", ("INVALID_VALUE", 2, 17)),
    (
        "two ways of gathering events",
        STARTED_A + EDGE + "settings:\n  debounce: {quiet: 5s}\n  batch: {max: 5, within: 1s}\n",
        ("INVALID_VALUE", 10, 3),
    ),
    (
        "a longest wait that is too short",
        STARTED_A + EDGE + "settings:\n  debounce: {quiet: 5s, max_wait: 1s}\n",
        ("INVALID_VALUE", 9, 35),
    ),
    (
        "a key that no event has",
        STARTED_A + EDGE + 'settings:\n  batch: {max: 5, within: 1s, key: "${a.n}"}\n',
        ("INVALID_SELECTOR", 9, 36),
    ),
    ("a bad name", NODES + "  1st: {type: std::log}\n", ("INVALID_VALUE", 3, 3)),
    ("a missing name", "version: '1'\n", ("MISSING_FIELD", 1, 1)),
    ("an empty name", "name: ''\n", ("MISSING_FIELD", 1, 7)),
    ("a missing type", NODES + "  a: {config: {}}\n", ("MISSING_FIELD", 3, 3)),
    ("an empty type", NODES + "  a: {type: ''}\n", ("MISSING_FIELD", 3, 13)),
    ("a missing end of an edge", HEAD + "edges:\n- from: start\n", ("MISSING_FIELD", 5, 3)),
    ("a missing condition", NODES + "  a:\n    type: std::switch\n", ("MISSING_FIELD", 3, 3)),
    ("a missing key of a config", NODES + "  a:\n    type: std::http\n    config: {method: GET}\n", ("MISSING_FIELD", 5, 5)),
    ("a config that is no mapping", NODES + "  a: {type: std::log, config: hello}\n", ("INVALID_TYPE", 3, 31)),
    (
        "an unknown condition",
        NODES + "  a: {type: std::switch, config: {condition: {type: about, field: x}}}\n",
        ("INVALID_CONDITION", 3, 35),
    ),
    (
        "a bad regular expression",
        NODES + "  a: {type: std::switch, config: {condition: {type: matches, field: x, pattern: '('}}}\n",
        ("INVALID_CONDITION", 3, 35),
    ),
    ("a selector that names nothing", NODES + "  a: {type: std::log, config: {message: 'x ${nope.y}'}}\n", ("INVALID_SELECTOR", 3, 41)),
    ("a selector that is not closed", NODES + "  a: {type: std::log, config: {message: 'x ${a.y'}}\n", ("INVALID_SELECTOR", 3, 41)),
    ("a path that is no path", NODES + "  a: {type: std::split, config: {field: 'items['}}\n", ("INVALID_SELECTOR", 3, 41)),
    (
        "an edge condition that does not parse",
        STARTED_A + "edges:\n- {from: start, to: a, condition: '>> 3'}\n",
        ("INVALID_CONDITION", 7, 35),
    ),
    ("a bad schedule", TRIGGERS + "- id: a\n  type: cron\n  params: {schedule: 61 * * * *}\n", ("INVALID_CRON", 5, 22)),
    ("a compensation that does not exist", STARTED + "  a: {type: std::log, compensate: undo}\n" + EDGE, ("INVALID_REFERENCE", 5, 35)),
    (
        "an error handler that does not exist",
        STARTED_A + "scopes:\n  s: {nodes: [a], on_error: help}\n" + EDGE,
        ("INVALID_REFERENCE", 7, 29),
    ),
]


@pytest.mark.parametrize(("text", "where"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_found_at_its_place(parse: Parse, text: str, where: tuple[str, int, int]) -> None:
    loaded = parse(text)
    assert loaded.flow is None
    assert [(problem.code, problem.line, problem.column) for problem in loaded.errors] == [where]
    assert loaded.errors[0].message
    assert loaded.errors[0].file == "f.yaml"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("name: f\nnodez: {}\n", "did you mean `nodes`?"),
        ("name: f\nversion: 1.0\n", 'quote it: `version: "1.0"`'),
        ("name: f\nnodes:\n  a: {type: std::swich}\n", "did you mean `std::switch`?"),
        ("name: f\nnodes:\n  a: {type: switch}\n", "did you mean `std::switch`?"),
        ("name: f\ntriggers:\n- {id: a, type: trigger::webhok}\n", "did you mean `webhook`?"),
        (
            "name: f\nnodes:\n  a: {type: std::aggregate, config: {operation: summ, array_path: x, output_field: y}}\n",
            "did you mean `sum`?",
        ),
        ("name: f\nnodes:\n  a: {type: std::log, timeout_ms: '5'}\n", "write the number without quotes"),
        ("name: f\nnodes:\n  a: {type: std::log, enabled: yes}\n", "write `true` or `false`"),
        ("name: f\nscopes:\n  s: {nodes: [a], type: paralel}\n", "did you mean `parallel`?"),
        ("name: f\nsettings: {on_failure: fast}\n", "known here: fail_fast, finish"),
        ("name: f\npayloads: {durability: disk}\n", "known here: host, object-store"),
        ("name: f\npayloads: {inline_max: 0}\n", "write a whole number and B, KiB or MiB: `64KiB`"),
        ("name: f\nhistory: {keep: 30}\n", "write a number and ms, s, m, h or d: `30d`"),
        ("name: f\nsettings: {ttl: 5}\n", "write a number and ms, s, m, h or d: `30d`"),
        ("name: f\npayloads: {inline_max: 1GiB}\n", "write a whole number and B, KiB or MiB: `64KiB`"),
        (NODES + "  a: {type: std::log, timeout_ms: 30s}\n", "write it in milliseconds, as a number: `timeout_ms: 30000`"),
        (NODES + "  a: {type: std::wait, config: {timeout_secs: 5m}}\n", "write it in seconds, as a number: `timeout_secs: 300`"),
        (NODES + "  a: {type: std::log, retry: 3}\n", "write `retry: {max_attempts: 3}`"),
        (NODES + "  a: {type: std::log, concurrency: 3}\n", "write `concurrency: {max: 3}`"),
        (NODES + "  a: std::log\n", "write `{type: std::log}`"),
        (NODES + "  a: say hello\n", "write `{type: std::log}`"),
        (NODES + "  a: {type:std::log}\n", "write a space after the colon: `type: std::log`"),
        (NODES + "  a:\n    type:std::log\n", "write a space after the colon: `type: std::log`"),
        ("name: f\nedges: [{from: a, to: [b, c]}]\n", "write one edge for each: an edge leads to one place"),
        ("name: f\nedges: [a -> b.true]\n", "write `{from: a, to: b.true}`"),
        ("name: f\nedges: {a: b}\n", "write a list, one edge each: `- {from: a, to: b}`"),
        (
            NODES + "  a: {type: std::log, config: {message: ${a.b}}}\n",
            'put quotes around a text with a selector: `"${a.b}"`',
        ),
        ("name: f\nconfig: {text: ${a.b}}\n", 'put quotes around a text with a selector: `"${a.b}"`'),
        ("name: f\nconfig: {text: no ${a.b} yet, x: 1}\n", 'put quotes around a text with a selector: `"no ${a.b} yet"`'),
        ("name: f\nconfig: {text: order: 7}\n", 'put quotes around a text that holds `: `: `"order: 7"`'),
        (
            "name: f\nedges: [{from: a to: b}]\n",
            'put a comma before `to:` if it is a key, else put quotes around a text that holds `: `: `"a to: b"`',
        ),
        ("name:f\nnodes: {}\n", "write a space after the colon in the line before: `name: f`"),
    ],
)
def test_the_hint_says_what_to_write_instead(parse: Parse, text: str, hint: str) -> None:
    assert hint in [problem.hint for problem in parse(text).problems]


@pytest.mark.parametrize("type", ["shop.log", "core::map", "shop.sleep"])
def test_a_type_with_another_prefix_is_not_taken_for_a_standard_one(parse: Parse, type: str) -> None:
    loaded = parse(NODES + f"  a: {{type: {type}}}\n")
    assert "did you mean" not in loaded.problems[0].hint


def test_a_key_run_together_with_its_value_is_not_missing_too(parse: Parse) -> None:
    assert [problem.code for problem in parse(NODES + "  a: {type:std::log}\n").errors] == ["UNKNOWN_KEY"]


def test_mistakes_of_all_stages_are_told_at_once(parse: Parse) -> None:
    loaded = parse("""\
        name: f
        version: 2
        colour: red
        triggers:
          tick: {type: cron, params: {schedule: daily}}
        nodes:
          a: {type: std::log, tiemout_ms: 3}
          b: {type: std::swich}
          c: {type: std::http, config: {url: example.org}}
          c: {type: std::log}
          d: {type: std::log, config: {message: "${nope.x}"}}
        edges:
          - {from: tick, to: a}
          - {from: a.maybe, to: c}
          - {from: c, to: nowhere}
    """)
    assert [(problem.line, problem.code) for problem in loaded.errors] == [
        (2, "INVALID_TYPE"),
        (3, "UNKNOWN_KEY"),
        (5, "INVALID_CRON"),
        (7, "UNKNOWN_KEY"),
        (8, "INVALID_NODE_TYPE"),
        (9, "INVALID_VALUE"),
        (10, "DUPLICATE_KEY"),
        (11, "INVALID_SELECTOR"),
        (14, "UNKNOWN_PORT"),
        (15, "INVALID_REFERENCE"),
    ]


def test_a_broken_config_does_not_hide_a_cycle(parse: Parse) -> None:
    loaded = parse("""\
        name: f
        nodes:
          a: {type: std::switch, config: {}}
          b: {type: std::log}
        edges:
          - {from: a.true, to: b}
          - {from: b, to: a}
    """)
    assert [(problem.code, problem.line) for problem in loaded.errors] == [("MISSING_FIELD", 3), ("CYCLE", 6)]


def test_a_misspelt_key_is_not_reported_as_missing_too(parse: Parse) -> None:
    loaded = parse("""\
        name: f
        triggers:
        - {id: start, type: manual}
        nodes:
          a: {type: std::switch, confg: {condition: {type: always}}}
          b: {type: std::http, config: {uri: "https://example.org"}}
        edges:
        - {form: start, to: a}
    """)
    assert [(problem.code, problem.line) for problem in loaded.errors] == [("UNKNOWN_KEY", 5), ("UNKNOWN_KEY", 6), ("UNKNOWN_KEY", 8)]


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("{nodes: [a], compensate: 3}", "`compensate` must be `reverse`, `parallel` or a list, but is the number 3"),
        ("{nodes: [a], completion: most}", "`completion` must be `all`, `any` or a mapping, but is the text `most`"),
        ("{nodes: [a], completion: {at_least: 0}}", "`at_least` must be at least 1, not 0"),
        ("{nodes: [a], completion: {at_most: 2}}", "unknown key `at_most` in scopes.s.completion"),
        ("{nodes: []}", "`nodes` is empty"),
    ],
)
def test_alternatives_speak_with_one_voice(parse: Parse, scope: str, message: str) -> None:
    loaded = parse(f"name: f\nnodes:\n  a: {{type: std::log}}\nscopes:\n  s: {scope}\n")
    assert message in [problem.message for problem in loaded.errors]
    assert len(loaded.errors) == 1


def test_an_unknown_own_type_is_a_warning_until_the_types_are_known(parse: Parse) -> None:
    text = "name: f\ntriggers: {t: {type: manual}}\nnodes:\n  a: {type: shop.charg}\nedges:\n- {from: t, to: a}\n"
    loaded = parse(text)
    assert loaded.flow is not None
    assert [problem.code for problem in loaded.warnings] == ["UNKNOWN_NODE_TYPE"]
    loaded = parse(text, known_types={"shop.charge": NodeType("shop.charge")})
    assert [(problem.code, problem.hint) for problem in loaded.errors] == [("INVALID_NODE_TYPE", "did you mean `shop.charge`?")]


def test_counts_are_limited_and_the_flow_can_raise_the_limit(parse: Parse) -> None:
    nodes = "".join(f"  n{number}: {{type: std::log}}\n" for number in range(4))
    text = "name: f\nsettings: {limits: {nodes: LIMIT}}\nnodes:\n" + nodes
    assert [(problem.code, problem.line) for problem in parse(text.replace("LIMIT", "3")).errors] == [("LIMIT_EXCEEDED", 3)]
    assert parse(text.replace("LIMIT", "4")).errors == ()


@pytest.mark.parametrize(("block", "entry"), [("edges", "{from: a, to: a}"), ("triggers", "{id: tN, type: manual}")])
def test_more_edges_or_triggers_than_allowed_are_refused(parse: Parse, block: str, entry: str) -> None:
    lines = "".join(f"- {entry.replace('N', str(number))}\n" for number in range(2))
    loaded = parse(f"name: f\nsettings: {{limits: {{{block}: 1}}}}\nnodes:\n  a: {{type: std::log}}\n{block}:\n{lines}")
    assert "LIMIT_EXCEEDED" in [problem.code for problem in loaded.errors]


def test_a_condition_that_reads_an_unknown_constant_is_refused_at_its_edge(parse: Parse) -> None:
    text = "name: f\nnodes:\n  a: {type: std::log}\n  b: {type: std::log}\nedges:\n"
    loaded = parse(text + '- {from: a, to: b, condition: "x > ${pipeline.config.limit}"}\n')
    assert [(problem.code, problem.line) for problem in loaded.errors] == [("INVALID_SELECTOR", 6)]


def test_what_follows_a_loop_may_read_the_nodes_of_its_body(parse: Parse) -> None:
    text = """
name: f
triggers: {t: {type: manual}}
nodes:
  rounds: {type: std::loop, config: {max_iterations: 2}}
  count: {type: std::set, config: {values: "${iteration}"}}
  report: {type: std::log, config: {message: "${count}"}}
edges:
- {from: t, to: rounds}
- {from: rounds.continue, to: count}
- {from: count, to: rounds}
- {from: rounds.exit, to: report}
"""
    assert parse(text).problems == ()


UNKNOWN_CONSTANT = [
    "expression: 'x > ${pipeline.config.limit}'",
    "condition: {type: expression, expression: 'x > ${pipeline.config.limit}'}",
]


@pytest.mark.parametrize("config", [*UNKNOWN_CONSTANT, "condition: {type: equals, field: x, value: '${pipeline.config.limit}'}"])
@pytest.mark.parametrize("type", ["std::switch", "std::loop"])
@pytest.mark.parametrize("rest", ["", "  b: {type: std::log}\nedges: [{from: a, to: nowhere}]\n"], ids=["whole graph", "broken graph"])
def test_a_condition_that_reads_an_unknown_constant_is_refused(parse: Parse, config: str, type: str, rest: str) -> None:
    if type == "std::loop":
        config = config.replace("expression: '", "until_expression: '", 1) if config.startswith("expression") else config
    loaded = parse(NODES + f"  a: {{type: {type}, config: {{{config}}}}}\n" + rest)
    assert ("INVALID_SELECTOR", 3) in [(problem.code, problem.line) for problem in loaded.errors]


@pytest.mark.parametrize(("at_least", "codes"), [(2, []), (3, ["INVALID_VALUE"])])
def test_a_parallel_scope_cannot_wait_for_more_branches_than_it_has(parse: Parse, at_least: int, codes: list[str]) -> None:
    text = HEAD + "nodes: {a: {type: std::log}, b: {type: std::log}}\n"
    scope = f"scopes: {{s: {{type: parallel, nodes: [a, b], completion: {{at_least: {at_least}}}}}}}\n"
    assert [problem.code for problem in parse(text + scope + "edges: [{from: start, to: s}]\n").problems] == codes
