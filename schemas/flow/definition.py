"""A flow as its author writes it: the models behind the YAML, one class per block of the language.

These models say what a definition may look like (keys, types, bounds, defaults). Whether its parts fit together
(names, ports, cycles) is the compiler's question. Unknown keys are errors everywhere; scalars are strict, so that
`version: 1.0` is told to become `"1.0"` instead of being guessed at.

The triggers' map form is turned into the list form by the loader before it reaches these models.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from ..limits import COUNT_MAX, DURATION_MS_MAX, PAYLOAD_INLINE_MAX_BYTES

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,127}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Milliseconds = Annotated[int, Field(ge=1, le=DURATION_MS_MAX)]
Size = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(B|KiB|MiB)$")]
Count = Annotated[int, Field(ge=1, le=COUNT_MAX)]
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,13}(ms|s|m|h|d)$"), AfterValidator(lambda text: _bounded(text))]


_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def size_bytes(size: str) -> int:
    """`64KiB` as a number of bytes."""
    digits = size.rstrip("KMiB")
    return int(digits) * _UNITS[size[len(digits) :]]


_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(duration: str) -> int:
    """`30d` in milliseconds."""
    digits = duration.rstrip("mshd")
    return int(digits) * _UNITS_MS[duration[len(digits) :]]


def _bounded(duration: str) -> str:
    if duration_ms(duration) > DURATION_MS_MAX:
        raise PydanticCustomError("too_long", "{duration} is longer than a hundred years", {"duration": duration})
    return duration


class Block(BaseModel):
    """What all blocks share: unknown keys refused, no silent conversion, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, use_attribute_docstrings=True)


class Retry(Block):
    """When a failed attempt is tried again. `max_attempts` counts the first attempt too."""

    max_attempts: Annotated[int, Field(ge=1, le=10_000)] = 3
    initial_delay_ms: Annotated[int, Field(ge=0, le=DURATION_MS_MAX)] = 1_000
    max_delay_ms: Annotated[int, Field(ge=0, le=DURATION_MS_MAX)] = 30_000
    backoff_multiplier: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    jitter: bool = True
    non_retryable: list[Text] = []
    """Error types that end the retrying at once."""


class Concurrency(Block):
    """At most `max` activations of the node at a time for each value of `key` (one shared key when absent)."""

    max: Count
    key: str | None = None
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"


class Node(Block):
    """A unit of work: its type, and the policies around it."""

    type: Text
    config: Any = None
    description: str | None = None
    enabled: bool = True
    retry: Retry | None = None
    timeout_ms: Milliseconds | None = None
    labels: dict[str, str] = {}
    queue: Identifier | None = None
    concurrency: Concurrency | None = None
    compensate: Identifier | None = None


class Trigger(Block):
    """What starts a run. `params` belong to the trigger's type."""

    id: Identifier
    type: Text
    params: Any = None
    enabled: bool = True
    description: str | None = None


class Edge(Block):
    """A connection from a node's port to a node; `node` alone means its port `out`."""

    from_: Annotated[Text, Field(alias="from")]
    to: Text
    condition: str | None = None
    loop_back: bool = False
    description: str | None = None


class AtLeast(Block):
    """Completion of a parallel scope as soon as this many branches have ended."""

    at_least: Annotated[int, Field(ge=1)]


class Scope(Block):
    """A part of the flow that is guarded as one: try/catch, or parallel branches with a completion rule.

    `nodes` names nodes and inner scopes. `compensate` undoes its completed nodes when it fails: in reverse order of their
    completion, all at once, or in the order of the list.
    """

    nodes: Annotated[list[Identifier], Field(min_length=1)]
    type: Literal["try", "parallel"] = "try"
    on_error: Identifier | None = None
    timeout_ms: Milliseconds | None = None
    retry: Retry | None = None
    compensate: Literal["reverse", "parallel"] | list[Identifier] | None = None
    completion: Literal["all", "any"] | AtLeast | None = None
    description: str | None = None


class SizeLimits(Block):
    """Raises (or lowers) the language's limits for this flow."""

    nodes: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    edges: Annotated[int, Field(ge=1, le=500_000)] = 5_000
    triggers: Annotated[int, Field(ge=1, le=10_000)] = 100
    iterations: Annotated[int, Field(ge=1)] = 10_000
    """Of a loop that is closed by a `loop_back` edge onto an ordinary node and so has no `max_iterations`."""


class RunConcurrency(Block):
    """At most `max` runs at a time for each value of `key` (one shared key when absent), exactly, over the whole fleet.

    `limit` names it: flows that use the same name share its slots. The default is the flow's own.
    """

    max: Count
    key: str | None = None
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"
    limit: Identifier | None = None


class Rate(Block):
    """At most `max` runs begin `per` so long for each value of `key`: a token bucket that holds `burst` (`max` when absent)."""

    max: Count
    per: Duration
    burst: Count | None = None
    key: str | None = None
    on_limit: Literal["queue", "reject"] = "queue"
    limit: Identifier | None = None


class Debounce(Block):
    """Events with the same `key` start one run, with the last of them, when none has come for `quiet`, or `max_wait` after the first."""

    quiet: Duration
    key: str | None = None
    max_wait: Duration | None = None


class Batch(Block):
    """Events with the same `key` start one run, with a list of their payloads, when there are `max`, or `within` after the first."""

    max: Annotated[int, Field(ge=1, le=10_000)]
    within: Duration
    key: str | None = None


class Settings(Block):
    """How runs of this flow are admitted, bounded and ended."""

    max_concurrent_executions: Annotated[int, Field(ge=1)] = 100
    execution_timeout_ms: Milliseconds | None = None
    on_failure: Literal["fail_fast", "finish"] = "fail_fast"
    compensate: Literal["reverse", "parallel"] = "reverse"
    """Order in which the nodes' compensations run when the run fails or is cancelled."""
    circuit_breaker_threshold: Annotated[float, Field(ge=0, le=1)] = 0.05
    circuit_breaker_window_ms: Milliseconds = 60_000
    max_concurrent_versions: Annotated[int, Field(ge=1)] = 5
    drain_timeout_ms: Milliseconds = 1_800_000
    drain_grace_period_ms: Milliseconds = 300_000
    debug: bool = False
    env: dict[str, str] = {}
    concurrency: RunConcurrency | list[RunConcurrency] | None = None
    rate: Rate | None = None
    priority: int | str = 0
    """Of a run where it queues at a limit, highest first: a number, or a template that gives one."""
    fairness: str | None = None
    """A template: runs that queue at a limit with equal priority are let in from each of its values in turn."""
    debounce: Debounce | None = None
    batch: Batch | None = None
    ttl: Duration | None = None
    """A run that has not ended so long after its event was taken is cancelled, waiting for a slot included."""
    limits: SizeLimits = SizeLimits()


class History(Block):
    """How long the journal of a finished run is kept."""

    keep: Duration = "30d"

    @property
    def keep_ms(self) -> int:
        return duration_ms(self.keep)


class Payloads(Block):
    """How large values travel."""

    inline_max: Size = "64KiB"
    """Larger values travel by reference."""
    durability: Literal["host", "object-store"] = "host"
    """`host`: until somebody elsewhere needs it, a value lies in its producer's host alone."""
    encryption: Identifier | None = None
    """Name of the key that values are encrypted with where they leave the host."""

    @field_validator("inline_max")
    @classmethod
    def _within_limits(cls, value: str) -> str:
        if size_bytes(value) > PAYLOAD_INLINE_MAX_BYTES:
            raise PydanticCustomError(
                "too_large", "at most {kib}KiB of a value can travel inside messages", {"kib": PAYLOAD_INLINE_MAX_BYTES >> 10}
            )
        return value

    @cached_property
    def inline_max_bytes(self) -> int:
        return size_bytes(self.inline_max)


class Flow(Block):
    """A whole definition. Its `digest` is its version for the engine: any change of meaning changes it."""

    name: Identifier
    version: Text = "1.0"
    description: str | None = None
    metadata: dict[str, Any] | None = None
    config: dict[str, Any] = {}
    inputs: dict[str, Any] | bool | None = None
    outputs: Any = None
    settings: Settings = Settings()
    history: History = History()
    payloads: Payloads = Payloads()
    triggers: list[Trigger] = []
    nodes: dict[Identifier, Node] = {}
    scopes: dict[Identifier, Scope] = {}
    edges: list[Edge] = []

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical form: defaults left out, the flow's `metadata` and `description` too (they do nothing)."""
        canonical = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"metadata", "description"})
        text = json.dumps(canonical, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
