"""The configs of the structural nodes: those that the engine decides itself, without a worker.

Their normal form is what the compiler reads. Paths in them go into the node's own input; only where a field's
docstring says *template* may it hold selectors to other nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ..conditions import parse_condition
from ..errors import JetfleetError
from ..limits import DURATION_MS_MAX
from ..value_schema import flaw
from .block import FieldPath, OwnPath, Refused, Spelled, TestedPath, is_template, synonyms
from .definition import Block, Identifier, Milliseconds, Text


def _condition(spec: Any) -> Any:
    if spec is not None:
        try:
            parse_condition(spec)
        except JetfleetError as error:
            raise Refused("INVALID_CONDITION", str(error), getattr(error, "hint", "")) from None
    return spec


ConditionSpec = Annotated[Any, AfterValidator(_condition)]
"""A condition in any of its forms, checked here and parsed again by the compiler."""

ExpressionText = Annotated[str, AfterValidator(_condition)]


class SwitchConfig(Block):
    """std::switch. Exactly one of `condition` (structured, or an expression) and `expression`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["condition"]}, {"required": ["expression"]}]})

    condition: ConditionSpec = None
    expression: ExpressionText | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.condition is None and self.expression is None:
            raise Refused(
                "MISSING_FIELD",
                "`condition` is missing: a switch needs `condition` or `expression`",
                "add `condition: {type: greater_than, field: amount, value: 100}`",
                ("condition",),
            )
        if self.condition is not None and self.expression is not None:
            raise Refused("INVALID_VALUE", "`condition` and `expression` are both written", "keep one of the two", ("expression",))
        return self


Strategy = Literal["all", "any", "count"]
_STRATEGIES = {"wait_all": "all", "first_arrival": "any", "first": "any", "wait_any": "any", "wait_n": "count"}


class MergeConfig(Spelled):
    """std::merge. `count` belongs to the strategy of that name; `cancel_others` ends the branches that came too late."""

    spellings: ClassVar[Mapping[str, str]] = {"wait_count": "count"}

    strategy: Annotated[Strategy, BeforeValidator(synonyms(_STRATEGIES), json_schema_input_type=str)] = "all"
    count: Annotated[int, Field(ge=1)] | None = None
    cancel_others: bool = False
    output: Literal["map", "list", "first", "deep_merge"] | None = None

    @model_validator(mode="after")
    def _count_fits(self) -> Self:
        if self.strategy == "count" and self.count is None:
            raise Refused("MISSING_FIELD", "`count` is missing: how many inputs does the merge wait for?", "add `count: 2`", ("count",))
        if self.strategy != "count" and self.count is not None:
            raise Refused("INVALID_VALUE", f"`count` means nothing with `strategy: {self.strategy}`", "write `strategy: count`", ("count",))
        return self


class SplitConfig(Block):
    """std::split. `field` leads to the array in the input; empty or `$` is the input itself."""

    field: OwnPath
    mode: Literal["sequential", "parallel", "batched"] = "sequential"
    batch_size: Annotated[int, Field(ge=1)] | None = None
    max_parallel: Annotated[int, Field(ge=1)] = 1
    """How many items run at once. Default 16 when parallel, else 1."""
    on_item_error: Literal["fail", "collect", "skip"] = "fail"

    @model_validator(mode="before")
    @classmethod
    def _default_parallelism(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("mode") == "parallel" and "max_parallel" not in raw:
            return {**raw, "max_parallel": 16}
        return raw

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.mode == "batched" and self.batch_size is None:
            raise Refused(
                "MISSING_FIELD", "`batch_size` is missing: how many items make a batch?", "add `batch_size: 100`", ("batch_size",)
            )
        if self.mode != "batched" and self.batch_size is not None:
            raise Refused("INVALID_VALUE", f"`batch_size` means nothing with `mode: {self.mode}`", "write `mode: batched`", ("batch_size",))
        if self.mode == "sequential" and self.max_parallel > 1:
            raise Refused("INVALID_VALUE", "a sequential split runs one item at a time", "write `mode: parallel`", ("max_parallel",))
        return self


class FieldEquals(Block):
    """The value at `field`, compared as text."""

    field: OwnPath
    value: Any


_ENDS = ("until_field_equals", "until_true", "until_false", "until_expression", "condition")


class LoopConfig(Spelled):
    """std::loop. Ends as soon as one of its conditions holds, and always after `max_iterations`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    max_iterations: Annotated[int, Field(ge=1)] = 10
    until_field_equals: FieldEquals | None = None
    until_true: TestedPath | None = None
    until_false: TestedPath | None = None
    until_expression: ExpressionText | None = None
    condition: ConditionSpec = None
    """Any form of a switch condition: the loop ends when it holds."""

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        if "max_iterations" not in raw and all(raw.get(key) is None for key in _ENDS):
            raise Refused(
                "MISSING_FIELD",
                "`max_iterations` is missing: a loop needs `max_iterations`, `condition` or one of `until_*`",
                "add `max_iterations: 10`",
                ("max_iterations",),
            )
        return raw


Resume = Literal["webhook", "api_approval", "timeout"]
_RESUME_SCHEMA = {
    "anyOf": [
        {"enum": ["webhook", "api_approval", "timeout"]},
        {"type": "object", "properties": {"type": {"type": "string"}, "token_field": {"type": "string"}}, "additionalProperties": False},
    ]
}
Action = Literal["approve", "reject", "escalate", "fail"]
_ACTIONS = {"approved": "approve", "rejected": "reject", "escalated": "escalate", "failed": "fail"}


def _value_schema(schema: Any) -> Any:
    found = None if schema is None else flaw(schema)
    if found is not None:
        what, place, hint = found
        raise Refused("INVALID_VALUE", f"`schema` is no JSON Schema: {what}", hint, place)
    return schema


class WaitConfig(Block):
    """std::wait. Waits for an approval (`hook_id`), a `signal` or an `event`: all three are templates.

    `correlate` filters events: each path in the event's payload must equal its value (a template). `assignees` (a template) says whose an
    approval is. `schema` is what the value of a signal, or the response of an answer, must fit.
    """

    hook_id: Text | None = None
    signal: Text | None = None
    event: Text | None = None
    correlate: dict[OwnPath, Any] = {}
    resume_method: Annotated[Resume, WithJsonSchema(_RESUME_SCHEMA)] = "webhook"
    token_field: FieldPath | None = None
    timeout_secs: Annotated[int, Field(ge=1, le=DURATION_MS_MAX // 1_000)] | None = None
    timeout_ms: Milliseconds | None = None
    timeout_action: Annotated[Action, BeforeValidator(synonyms(_ACTIONS), json_schema_input_type=str)] = "reject"
    metadata_fields: list[OwnPath] = []
    assignees: Text | list[Text] | None = None
    schema_: Annotated[Any, AfterValidator(_value_schema), Field(alias="schema")] = None

    @property
    def due_after_ms(self) -> int | None:
        """The timeout in milliseconds, whichever way it was written."""
        return self.timeout_secs * 1_000 if self.timeout_secs is not None else self.timeout_ms

    @model_validator(mode="before")
    @classmethod
    def _flatten_resume_method(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(method := raw.get("resume_method"), dict):
            extra = {key: value for key, value in method.items() if key != "type"}
            unknown = next((key for key in extra if key != "token_field"), None)
            if unknown is not None:
                raise Refused("UNKNOWN_KEY", f"unknown key `{unknown}`", "known here: type, token_field", ("resume_method", unknown))
            return {**raw, "resume_method": method.get("type", "webhook"), **extra}
        return raw

    @model_validator(mode="after")
    def _waits_for_one_thing(self) -> Self:
        named = [key for key in ("hook_id", "signal", "event") if getattr(self, key) is not None]
        if len(named) > 1:
            raise Refused("INVALID_VALUE", f"the node waits for {' and '.join(named)}", "keep one of them", (named[1],))
        if not named and self.resume_method != "timeout":
            raise Refused(
                "MISSING_FIELD", "`hook_id` is missing: what does the node wait for?", "add `hook_id`, `signal` or `event`", ("hook_id",)
            )
        if self.correlate and self.event is None:
            raise Refused("INVALID_VALUE", "`correlate` means nothing without `event`", "name the `event`", ("correlate",))
        if self.assignees is not None and self.hook_id is None:
            raise Refused("INVALID_VALUE", "`assignees` means nothing without `hook_id`", "name the approval: `hook_id`", ("assignees",))
        if self.schema_ is not None and self.hook_id is None and self.signal is None:
            raise Refused("INVALID_VALUE", "`schema` is for approvals and signals", "filter an event by `correlate`", ("schema",))
        return self

    @model_validator(mode="after")
    def _timeout_fits(self) -> Self:
        if self.timeout_secs is not None and self.timeout_ms is not None:
            raise Refused("INVALID_VALUE", "`timeout_secs` and `timeout_ms` are both written", "keep one of the two", ("timeout_ms",))
        if self.resume_method == "timeout" and self.due_after_ms is None:
            raise Refused(
                "MISSING_FIELD", "`timeout_secs` is missing: only a timeout resumes this node", "add `timeout_secs: 60`", ("timeout_secs",)
            )
        return self


def _template_text(value: Any) -> Any:
    if isinstance(value, str) and not is_template(value):
        raise Refused("INVALID_TYPE", f"expected a whole number of milliseconds or a selector, found the text `{value}`", "write `1000`")
    return value


class DelayConfig(Block):
    """std::delay. `duration_ms` is a number or a template that yields one."""

    duration_ms: Annotated[Annotated[int, Field(ge=0)] | str, BeforeValidator(_template_text, json_schema_input_type=int | str)]


class SubflowConfig(Block):
    """std::subflow. `input` is a template; without it the child gets the node's input. Detached: nobody waits for it."""

    flow: Identifier
    version: Text | None = None
    input: Any = None
    detached: bool = False


class EmitConfig(Block):
    """std::emit. All templates; without `payload` the node's input is published, without `id` one is derived."""

    subject: Text
    payload: Any = None
    id: Text | None = None


class RaiseConfig(Block):
    """std::raise. `type` is what handlers and retry policies match on; `message` and `details` are templates."""

    type: Text
    message: str
    retryable: bool = False
    details: Any = None
