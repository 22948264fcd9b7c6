"""The reference tells the truth: its tables are the models', its codes are the code's, and its examples do what they say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from jetfleet.schemas.flow import definition
from jetfleet.schemas.flow.node_types import NODE_TYPES
from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES
from jetfleet.schemas.flow.triggers.webhook import WebhookAuth
from jetfleet.schemas.payload import decode
from jetfleet.schemas.source.loader import parse_flow
from jetfleet.workers import Registry, node, run

from .tables import DOCS, keys, tables

ROOT = DOCS.parent
BLOCKS = {
    block.__name__: block
    for block in vars(definition).values()
    if inspect.isclass(block) and issubclass(block, definition.Block) and block is not definition.Block
}
FLOW_MODELS = BLOCKS | {f"trigger {name}": entry.params for name, entry in TRIGGER_TYPES.items()} | {"WebhookAuth": WebhookAuth}
NODE_MODELS = {name: entry.config for name, entry in NODE_TYPES.items() if entry.config is not None}
CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")
REPORTERS = {"Problem", "Refused", "report", "_report", "_stop", "_invalid"}


@pytest.mark.parametrize(("page", "models"), [("flow-reference.md", FLOW_MODELS), ("nodes.md", NODE_MODELS)], ids=["flows", "nodes"])
def test_every_block_has_its_table_of_keys(page: str, models: dict[str, Any]) -> None:
    assert set(tables(page)) == set(models)


@pytest.mark.parametrize("name", FLOW_MODELS)
def test_the_keys_of_a_block_are_those_of_its_model(name: str) -> None:
    assert tables("flow-reference.md")[name] == list(keys(FLOW_MODELS[name]))


@pytest.mark.parametrize("name", NODE_MODELS)
def test_the_keys_of_a_node_are_those_of_its_config(name: str) -> None:
    assert tables("nodes.md")[name] == list(keys(NODE_MODELS[name]))


def codes(file: Path) -> Iterator[str]:
    """The problem codes that a module reports, or yields, with what there is to say, to who does."""
    for found in ast.walk(ast.parse(file.read_text())):
        told: list[ast.expr] = []
        if isinstance(found, ast.Call) and getattr(found.func, "id", getattr(found.func, "attr", "")) in REPORTERS:
            told = found.args
        elif isinstance(found, ast.Yield) and isinstance(found.value, ast.Tuple):
            told = found.value.elts[:1]
        texts = [part.value for each in told for part in ast.walk(each) if isinstance(part, ast.Constant)]
        yield from (text for text in texts if isinstance(text, str) and CODE.fullmatch(text))


def test_every_problem_code_is_explained_and_no_other() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "flow-reference.md").read_text(), re.MULTILINE)
    reported = {code for file in (ROOT / "schemas").rglob("*.py") for code in codes(file)}
    # Three are told apart by a condition before they are reported.
    reported |= {"MISSING_FIELD", "ORPHANED_NODE", "UNREACHABLE_NODE"}
    assert sorted(listed) == sorted(reported)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


SHOWN = [block for block in blocks("nodes.md", "yaml") if block.startswith("# in")]


def test_the_flow_at_the_top_is_valid() -> None:
    whole = [block for block in blocks("flow-reference.md", "yaml") if block.startswith("name:")]
    assert len(whole) == 1
    assert parse_flow(whole[0].encode()).problems == ()


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: yaml.safe_load(block)["type"])
def test_a_node_gives_what_its_example_says(block: str) -> None:
    given, expected = (line.split(maxsplit=2)[2] for line in block.splitlines()[:2])
    expected, _, port = expected.partition("   by ")
    flow = {"name": "example", "nodes": {"it": yaml.safe_load(block)}, "edges": [{"from": "t", "to": "it"}]}
    view = asyncio.run(run({**flow, "triggers": [{"id": "t", "type": "manual"}]}, json.loads(given))).nodes()["it"]
    assert view.output is not None
    assert (view.port, decode(view.output)) == (port or "out", json.loads(expected))


def test_the_example_of_an_own_node_passes_its_own_tests() -> None:
    space: dict[str, Any] = {"__name__": "shop"}
    for block in blocks("nodes.md", "python"):
        exec(block, space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_a_returned_value_arrives_as_the_page_says() -> None:
    registry = Registry()
    aware = datetime(2024, 2, 29, 12, tzinfo=UTC)
    returned = {"list": (1, 2), "set": {3}, 7: "key", "decimal": Decimal("1.5"), "date": date(2024, 2, 29), "bytes": b"\0", "time": aware}
    node("x.gives", registry=registry)(lambda: returned)
    arrived = asyncio.run(run("name: f\nnodes: {a: {type: x.gives}}\n", registry=registry)).output
    assert arrived == {"list": [1, 2], "set": [3], 7: "key", "decimal": "1.5", "date": "2024-02-29", "bytes": b"\0", "time": aware}
