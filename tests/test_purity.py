"""The engine is a pure function, and so stays replayable: it imports no loop, clock or I/O and opens nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "broker" / "engine"

ALLOWED = {
    "__future__",
    "array",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "msgspec",
    "operator",
    "typing",
}
"""Modules whose functions depend on nothing but their arguments (as far as the engine uses them)."""

EFFECTFUL = {"open", "print", "input", "exec", "eval", "__import__", "id", "hash"}
"""Builtins that reach the world, or that differ from process to process (`id`; `hash` of a string)."""


def violations(source: str) -> list[str]:
    tree = ast.parse(source)
    return [f"line {line}: {what}" for line, what in sorted([*foreign_imports(tree), *effectful_calls(tree)])]


def foreign_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"imports {alias.name}") for alias in node.names if alias.name.partition(".")[0] not in ALLOWED)
        elif isinstance(node, ast.ImportFrom) and not allowed(node):
            yield node.lineno, f"imports from {'.' * node.level}{node.module or ''}"


def allowed(node: ast.ImportFrom) -> bool:
    first = (node.module or "").partition(".")[0]
    if node.level == 0:
        return first in ALLOWED
    return node.level == 1 or (node.level == 3 and first == "schemas")


def effectful_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in EFFECTFUL:
            yield node.lineno, f"calls {node.func.id}()"


@pytest.mark.parametrize("file", sorted(ENGINE.rglob("*.py")), ids=lambda file: file.stem)
def test_the_engine_imports_and_calls_nothing_that_is_not_pure(file: Path) -> None:
    assert violations(file.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", ["line 1: imports time"]),
        ("import os.path as p", ["line 1: imports os.path"]),
        ("from random import random", ["line 1: imports from random"]),
        ("from ...workers.clock import Clock", ["line 1: imports from ...workers.clock"]),
        ("from ..coordinator import loop", ["line 1: imports from ..coordinator"]),
        ("from jetfleet.schemas import records", ["line 1: imports from jetfleet.schemas"]),
        ("x = 1\nprint(x)", ["line 2: calls print()"]),
        ("from ...schemas.records import Record\nfrom .state import Run\nimport heapq", []),
    ],
)
def test_an_impure_line_is_named(source: str, found: list[str]) -> None:
    assert violations(source) == found
