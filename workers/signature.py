"""The signature of an own node: which parameter gets what, and of which type.

    first parameter            the value that arrives, checked against its annotation
    annotated `Context`        the context of the attempt
    named `config`             the node's rendered config, checked against its annotation

Annotations may be pydantic models, dataclasses, typed dicts, plain JSON types. They are compiled once, when the node is registered. A
value that does not fit is the sender's mistake, which no second attempt repairs: `invalid_input`, not retryable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

from ..schemas.errors import Permanent, UsageError
from .context import Context
from .spec import Call

PROBLEMS_MAX = 20


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function wants. The adapters are None where anything is welcome."""

    wants_value: bool
    value: TypeAdapter[Any] | None
    wants_config: bool
    config: TypeAdapter[Any] | None
    context: str | None

    def bind(self, function: Callable[..., Any], config: Any) -> Call:
        """The function as (value) or (value, context) → result; raises Permanent (`invalid_input`, `invalid_config`)."""
        if self.wants_value and self.value is None and not self.wants_config and self.context is None:
            return function

        def call(value: Any, context: Context | None = None) -> Any:
            given = (_fit(self.value, value, "input"),) if self.wants_value else ()
            named: dict[str, Any] = {} if self.context is None else {self.context: context}
            if self.wants_config:
                # One config serves all runs; a function that changes what it was given must change its own copy.
                named["config"] = _fit(self.config, deepcopy(config), "config")
            return function(*given, **named)

        return call


def read_signature(function: Callable[..., Any]) -> Signature:
    """Raises UsageError for parameters that nothing could be given to, and for annotations that are no types of values."""
    name = getattr(function, "__qualname__", repr(function))
    parameters = inspect.signature(function).parameters
    hints = _hints(function, name)
    context = next((parameter for parameter, hint in hints.items() if hint is Context and parameter in parameters), None)
    rest = [parameter for parameter in parameters.values() if parameter.name not in (context, "config")]
    first = rest.pop(0) if rest and rest[0].kind in (rest[0].POSITIONAL_ONLY, rest[0].POSITIONAL_OR_KEYWORD) else None
    _refuse_unfillable(rest, name)
    return Signature(
        wants_value=first is not None,
        value=None if first is None else _adapter(hints.get(first.name, Any), first.name, name),
        wants_config="config" in parameters,
        config=_adapter(hints.get("config", Any), "config", name),
        context=context,
    )


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise UsageError(f"node function {name}: {error}; define the types of a node's parameters at the top of its module") from None


def _refuse_unfillable(parameters: list[inspect.Parameter], name: str) -> None:
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UsageError(
                f"node function {name}: nothing is known to pass as `{parameter.name}`; "
                "a node takes its value, `config`, and a parameter annotated `Context`"
            )


def _adapter(annotation: Any, parameter: str, name: str) -> TypeAdapter[Any] | None:
    if annotation is Any or annotation is object:
        return None
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"node function {name}: `{parameter}` cannot be checked against its annotation ({reason})") from None


def _fit(adapter: TypeAdapter[Any] | None, value: Any, what: str) -> Any:
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise _misfit(error, what) from None


def _misfit(error: ValidationError, what: str) -> Permanent:
    problems = [
        {"field": ".".join(map(str, problem["loc"])), "problem": problem["msg"]}
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = problems[0]
    message = f"the {what} does not fit: " + (f"`{first['field']}`: " if first["field"] else "") + first["problem"]
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more)"
    return Permanent(message, type=f"invalid_{what}", details=problems[:PROBLEMS_MAX])
