"""Programs: the configs of structural nodes, compiled to what the engine asks for at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..conditions import Condition, parse_condition, parse_field_equals, parse_path_test
from ..flow.control_configs import LoopConfig, MergeConfig, SplitConfig, SwitchConfig
from ..flow.node_types import Kind
from ..selectors import Path, Template, parse_path, template_of


@dataclass(frozen=True, slots=True)
class SwitchProgram:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class MergeProgram:
    strategy: str
    count: int
    cancel_others: bool
    output: str  # map, list, first, deep_merge


@dataclass(frozen=True, slots=True)
class SplitProgram:
    path: Path
    batch_size: int  # 0: items one by one
    max_parallel: int
    on_item_error: str


@dataclass(frozen=True, slots=True)
class LoopProgram:
    max_iterations: int
    conditions: tuple[Condition, ...] = field(default=())
    endless: bool = False  # reaching the maximum is an error: the author gave no bound


def program(kind: Kind, config: Any) -> Any:
    """The program of a structural node that has one."""
    return _PROGRAMS[kind](config)


def task_template(config: Any, program: Any) -> Template | None:
    """The config of the task that a switch becomes where its operands lie elsewhere: its condition, and what that compares with.

    The condition is a constant: what looks like a selector on its left side is a path in the value at hand. None for other nodes.
    """
    if not isinstance(program, SwitchProgram):
        return None
    return template_of({"condition": _switch_condition(config)}, {"right": program.conditions[0].right})


def conditions(program: Any) -> tuple[Condition, ...]:
    """The conditions that a program tests, if it is one that tests any."""
    return program.conditions if isinstance(program, (SwitchProgram, LoopProgram)) else ()


def hidden_loop(max_iterations: int) -> LoopProgram:
    """The program of a loop that the author closed with an edge."""
    return LoopProgram(max_iterations, endless=True)


def _switch(config: SwitchConfig) -> SwitchProgram:
    return SwitchProgram((parse_condition(_switch_condition(config)),))


def _switch_condition(config: SwitchConfig) -> Any:
    return config.condition if config.condition is not None else config.expression


def _merge(config: MergeConfig) -> MergeProgram:
    output = config.output or ("first" if config.strategy == "any" else "map")
    return MergeProgram(config.strategy, config.count or 0, config.cancel_others, output)


def _split(config: SplitConfig) -> SplitProgram:
    return SplitProgram(parse_path(config.field), config.batch_size or 0, config.max_parallel, config.on_item_error)


def _loop(config: LoopConfig) -> LoopProgram:
    return LoopProgram(config.max_iterations, tuple(_loop_ends(config)))


def _loop_ends(config: LoopConfig) -> Iterator[Condition]:
    if config.until_field_equals is not None:
        yield parse_field_equals(config.until_field_equals.model_dump())
    if config.until_true is not None:
        yield parse_path_test(config.until_true, True)
    if config.until_false is not None:
        yield parse_path_test(config.until_false, False)
    if config.until_expression is not None:
        yield parse_condition(config.until_expression)
    if config.condition is not None:
        yield parse_condition(config.condition)


_PROGRAMS: dict[Kind, Callable[[Any], Any]] = {Kind.SWITCH: _switch, Kind.MERGE: _merge, Kind.SPLIT: _split, Kind.LOOP: _loop}
