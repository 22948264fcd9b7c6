"""The catalogue of standard node types: what each is called, how it is configured, which ports it has.

The compiler reads ports and kinds here, the editor's JSON Schema the configs, `jetfleet nodes` the summaries. Own nodes
(any prefix but `std::`) are not in it: workers register them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from . import control_configs as control
from . import node_configs as data
from .definition import Block

STANDARD = "std::"
"""The prefix that own node types must not have."""

ERROR = "error"
"""The port that every node has: taken when its last attempt has failed."""

_NUMBERED_INPUT = re.compile(r"in_(0|[1-9][0-9]*)")


class Kind(IntEnum):
    """Who does a node's work: a worker (TASK), or the engine, by one of its rules."""

    TASK = 0
    SWITCH = 1
    MERGE = 2
    SPLIT = 3
    LOOP = 4
    WAIT = 5
    DELAY = 6
    SUBFLOW = 7
    EMIT = 8
    RAISE = 9


@dataclass(frozen=True, slots=True)
class NodeType:
    """One node type. `ports` are its exits without `error`; `port_aliases` their other names.

    Own nodes are described by the same class: kind TASK, and a `config` model only if they declare one.
    """

    name: str
    kind: Kind = Kind.TASK
    config: type[Block] | None = None
    summary: str = ""
    category: str = "own"
    ports: tuple[str, ...] = ("out",)
    port_aliases: Mapping[str, str] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    """A small valid config. It stands in for a broken one, so that the rest of the flow can still be checked."""

    def port(self, name: str) -> str | None:
        """The port that `name` means, `error` included; None if the type has no such port."""
        name = self.port_aliases.get(name, name)
        return name if name in self.ports or name == ERROR else None

    def accepts(self, input_port: str) -> bool:
        """Whether an edge may lead to this input port: `in`, and `in_0`, `in_1`, … of a merge."""
        return input_port == "in" or (self.kind is Kind.MERGE and _NUMBERED_INPUT.fullmatch(input_port) is not None)


_TYPES = (
    NodeType(
        "std::switch",
        Kind.SWITCH,
        control.SwitchConfig,
        "Choose a branch by a condition",
        "control",
        ports=("true", "false"),
        example={"condition": {"type": "greater_than", "field": "amount", "value": 100}},
    ),
    NodeType("std::merge", Kind.MERGE, control.MergeConfig, "Join branches: all, any, or a number of them", "control"),
    NodeType(
        "std::split",
        Kind.SPLIT,
        control.SplitConfig,
        "Run the body once per item of an array",
        "control",
        ports=("item", "done"),
        port_aliases={"out": "item"},
        example={"field": "items"},
    ),
    NodeType(
        "std::loop",
        Kind.LOOP,
        control.LoopConfig,
        "Repeat the body until a condition holds",
        "control",
        ports=("continue", "exit"),
        port_aliases={"body": "continue", "done": "exit"},
        example={"max_iterations": 10},
    ),
    NodeType(
        "std::wait",
        Kind.WAIT,
        control.WaitConfig,
        "Wait for an approval, a signal or an event",
        "control",
        ports=("out", "rejected", "escalated"),
        example={"hook_id": "approval-${trace_id}", "timeout_secs": 3600},
    ),
    NodeType(
        "std::delay", Kind.DELAY, control.DelayConfig, "Go on after a while; survives restarts", "control", example={"duration_ms": 1000}
    ),
    NodeType("std::subflow", Kind.SUBFLOW, control.SubflowConfig, "Run another flow", "control", example={"flow": "other_flow"}),
    NodeType("std::emit", Kind.EMIT, control.EmitConfig, "Publish an event", "control", example={"subject": "orders.done"}),
    NodeType(
        "std::raise",
        Kind.RAISE,
        control.RaiseConfig,
        "Fail with an error of your own",
        "control",
        example={"type": "out_of_stock", "message": "nothing left"},
    ),
    NodeType("std::map", Kind.TASK, data.MapConfig, "Copy and rename fields", "data", example={"mappings": [{"from": "a", "to": "b"}]}),
    NodeType(
        "std::concat",
        Kind.TASK,
        data.ConcatConfig,
        "Join texts and fields into one text",
        "data",
        example={"parts": ["Hello ", "$.name"], "output_field": "text"},
    ),
    NodeType(
        "std::aggregate",
        Kind.TASK,
        data.AggregateConfig,
        "Reduce numbers to one",
        "data",
        example={"operation": "sum", "source": {"type": "array", "array_path": "items"}, "output_field": "total"},
    ),
    NodeType("std::json_dynamic", Kind.TASK, data.JsonDynamicConfig, "Extract, merge, set, delete or flatten fields", "data"),
    NodeType("std::set", Kind.TASK, data.SetConfig, "Replace the value", "data", example={"values": {"ready": True}}),
    NodeType("std::log", Kind.TASK, data.LogConfig, "Write a log line; the value passes through", "io", example={"message": "here"}),
    NodeType("std::http", Kind.TASK, data.HttpConfig, "Make an HTTP request", "io", example={"url": "https://example.org/"}),
    NodeType(
        "std::kafka_publish",
        Kind.TASK,
        data.KafkaPublishConfig,
        "Write a record to a Kafka topic",
        "io",
        example={"brokers": "kafka:9092", "topic": "orders"},
    ),
)

NODE_TYPES: Mapping[str, NodeType] = MappingProxyType({entry.name: entry for entry in _TYPES})
TYPE_ALIASES: Mapping[str, str] = MappingProxyType(
    {"std::http.request": "std::http", "std::kafka.publish": "std::kafka_publish", "kafka.publish": "std::kafka_publish"}
)


def node_type(name: str) -> NodeType | None:
    """The standard node type of this name or alias; None for own and unknown types."""
    return NODE_TYPES.get(TYPE_ALIASES.get(name, name))


def suggest(name: str, others: frozenset[str] = frozenset()) -> str | None:
    """The known type (standard, or one of `others`) whose name is nearest to `name`, if any is near.

    Under one prefix the rest of the names is compared, so that the prefix makes nothing alike; under another one only a slip counts.
    """
    known = [*NODE_TYPES, *TYPE_ALIASES, *sorted(others)]
    prefix, own = _in_two(name)
    siblings = {rest: type for type in known for start, rest in [_in_two(type)] if start == prefix}
    if near := difflib.get_close_matches(own, siblings, n=1):
        return siblings[near[0]]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.85) or difflib.get_close_matches(STANDARD + name, known, n=1, cutoff=0.8)
    return near[0] if near else None


def _in_two(name: str) -> tuple[str, str]:
    """A type's prefix and the rest: `std::` and `log`, `shop.` and `charge`."""
    if name.startswith(STANDARD):
        return STANDARD, name.removeprefix(STANDARD)
    prefix, dot, rest = name.rpartition(".")
    return prefix + dot, rest


def parse_config(entry: NodeType, raw: Any) -> Block | None:
    """The config in its normal form; no config counts as an empty one. None if the type does not describe its config.

    Raises pydantic.ValidationError.
    """
    return None if entry.config is None else entry.config.model_validate({} if raw is None else raw)
