"""From the text of a definition to a checked flow, with every problem at its place in the file.

    read        text → values with positions        (document)
    shape       values → Flow                       (definition, findings)
    parts       types, configs, params, ids, counts (checks)
    graph       names, ports, cycles, selectors     (plan.compiler)

A stage runs as long as there is something for it to work on, so one run of `validate` shows as many mistakes as can be told
apart. Nothing here raises for a bad definition: the problems are in the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidFlow, UsageError
from ..flow.definition import Flow
from ..flow.node_types import NodeType, node_type
from ..flow.problems import Path, Problem
from ..plan.compiler import check
from ..plan.plan import Plan
from .checks import check_parts
from .document import Document, read
from .findings import problems_of
from .tree import ReadLimits

_NO_GRAPH = frozenset(("version", "description", "metadata", "settings", "history", "payloads", "retry", "timeout_ms", "labels", "queue"))
"""Keys that the graph does not depend on: a mistake in them does not keep it from being checked."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a definition. `flow` and `plan` are None if there are errors; warnings alone leave them be.

    `graph_checked`: whether enough of the definition could be read to look at names, ports, cycles and selectors.
    """

    flow: Flow | None
    problems: tuple[Problem, ...]
    document: Document | None = None
    plan: Plan | None = None
    graph_checked: bool = True

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def require(self) -> tuple[Flow, Plan]:
        """The flow and its plan. Raises InvalidFlow with all errors if it has any."""
        if self.flow is None or self.plan is None:
            raise InvalidFlow(self.errors)
        return self.flow, self.plan


def load_flow(path: str | FilePath, known_types: Mapping[str, NodeType] | None = None, limits: ReadLimits | None = None) -> Loaded:
    """The flow in a file. Raises UsageError if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read((limits or ReadLimits()).bytes + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_flow(data, str(path), known_types, limits)


def parse_flow(
    data: bytes, file: str = "<flow>", known_types: Mapping[str, NodeType] | None = None, limits: ReadLimits | None = None
) -> Loaded:
    """The flow in a text. `known_types` are the own node types that exist; None: nobody knows, so any is accepted."""
    try:
        document = read(data, file, limits)
    except InvalidFlow as error:
        return Loaded(None, error.problems, graph_checked=False)
    mixed = _mixed_ids(document)
    document = document.with_list("triggers", "id")
    raw = document.value
    flow, found = _shape(raw)
    found += mixed + _parts(raw, found, known_types)
    readable = flow or _salvage(raw, found)
    plan, of_graph = _graph(readable, found, known_types)
    problems = _placed([*found, *of_graph], document)
    if any(problem.severity == "error" for problem in problems):
        return Loaded(None, problems, document, graph_checked=readable is not None)
    return Loaded(flow, problems, document, plan)


def _mixed_ids(document: Document) -> list[Problem]:
    """In the map form the key is the trigger's id; another `id` beside it contradicts it."""
    triggers = document.value.get("triggers")
    entries = list(triggers.items()) if isinstance(triggers, dict) else []
    return [
        Problem("INVALID_VALUE", f"the trigger `{key}` has the `id` {entry['id']!r} too", ("triggers", number), "remove the `id`")
        for number, (key, entry) in enumerate(entries)
        if isinstance(entry, dict) and entry.get("id", key) != key
    ]


def _shape(raw: dict[str, Any]) -> tuple[Flow | None, list[Problem]]:
    try:
        return Flow.model_validate(raw), []
    except ValidationError as error:
        return None, problems_of(error, Flow, raw)


def _parts(raw: dict[str, Any], found: list[Problem], known_types: Mapping[str, NodeType] | None) -> list[Problem]:
    """The problems of the parts, without those that only echo a misspelt `config` or `params`."""
    misspelt = {problem.path[:-1] for problem in found if problem.code == "UNKNOWN_KEY"}
    problems = check_parts(raw, known_types)
    return [problem for problem in problems if not (problem.path[:2] in misspelt and not _exists(raw, problem.path[:3]))]


def _graph(flow: Flow | None, found: list[Problem], known_types: Mapping[str, NodeType] | None) -> tuple[Plan | None, list[Problem]]:
    if flow is None:
        return None, []
    of_nodes = [problem for problem in found if problem.path[:1] == ("nodes",) and len(problem.path) > 2]
    # An unknown key may be a misspelt `config`, without which not every node can be.
    broken = {problem.path[1] for problem in of_nodes if problem.path[2] == "config" or problem.code == "UNKNOWN_KEY"}
    plan, problems = check(_with_examples(flow, {str(id) for id in broken}), known_types)
    return plan, problems


def _with_examples(flow: Flow, broken: set[str]) -> Flow:
    """The flow with an example config in place of each broken one: its graph is the same."""
    if not broken:
        return flow
    nodes = {id: node.model_copy(update={"config": _example(node.type)}) if id in broken else node for id, node in flow.nodes.items()}
    return flow.model_copy(update={"nodes": nodes})


def _example(type: str) -> Any:
    entry = node_type(type)
    return dict(entry.example) if entry is not None else None


def _salvage(raw: dict[str, Any], found: list[Problem]) -> Flow | None:
    """The flow without what is wrong in it, if what is wrong does not touch the graph; else None."""
    rest = raw
    for problem in found:
        depth = next((depth for depth, part in enumerate(problem.path) if part in _NO_GRAPH), None)
        if depth is not None:
            rest = _without(rest, problem.path[: depth + 1])
        elif problem.code == "UNKNOWN_KEY" and (len(problem.path) == 1 or problem.path[0] == "nodes"):
            rest = _without(rest, problem.path)
        elif problem.path == ("name",):
            rest = {**rest, "name": "unnamed"}
    return _shape(rest)[0]


def _without(raw: Any, path: Path) -> Any:
    """A copy of the mapping without the key at `path`; what the copy does not touch is shared."""
    head, rest = path[0], path[1:]
    if not isinstance(raw, dict) or head not in raw:
        return raw
    if not rest:
        return {key: value for key, value in raw.items() if key != head}
    return {**raw, head: _without(raw[head], rest)}


def _exists(raw: Any, path: Path) -> bool:
    for part in path:
        keys = raw if isinstance(raw, dict) else range(len(raw)) if isinstance(raw, list) else ()
        if part not in keys:
            return False
        raw = raw[part]
    return True


def _placed(found: list[Problem], document: Document) -> tuple[Problem, ...]:
    """The problems with their positions, in the order of the file, each once."""
    placed: dict[tuple[str, int, int, str], Problem] = {}
    for problem in [*document.problems, *found]:
        if not problem.line:
            locate = document.locate_key if problem.code == "UNKNOWN_KEY" else document.place
            problem = problem.at(document.file, *locate(_to_the_text(problem, document.value)))
        placed.setdefault((problem.code, problem.line, problem.column, problem.message), problem)
    return tuple(sorted(placed.values(), key=lambda problem: (problem.line, problem.column)))


def _to_the_text(problem: Problem, raw: Any) -> Path:
    """The path of a problem; of one about a selector somewhere in a config, the path of the first text that holds it."""
    quoted = re.match(r"\$\{[^}]+\}", problem.message)
    if problem.code != "INVALID_SELECTOR" or quoted is None or not _exists(raw, problem.path):
        return problem.path
    inner = quoted[0][2:-1]
    held = (path for path, text in _texts(reduce(getitem, problem.path, raw), problem.path) if "${" in text and inner in text)
    return next(held, problem.path)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, key))
