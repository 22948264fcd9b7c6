"""The signature of an own node: which parameter gets what, and of which type.

    first parameter            the value that arrives, checked against its annotation
    annotated `Context`        the context of the attempt
    named `config`             the node's rendered config, checked against its annotation

Annotations may be pydantic models, dataclasses, typed dicts, plain JSON types; for the value also what `views` lists. Arrays, tables and
images may be fields of dataclasses and typed dicts, and items of lists and maps; a pydantic model with such fields needs
`model_config = ConfigDict(arbitrary_types_allowed=True)`. Such a field gets the value as it is, nothing is converted to its type.

Annotations are compiled once, when the node is registered. A value that does not fit is the sender's mistake, which no second attempt
repairs: `invalid_input`, not retryable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

from ..broker.codecs.registry import codec_name
from ..schemas.errors import Permanent, UsageError
from .context import Context
from .spec import Call
from .views import View, bare, wanted

PROBLEMS_MAX = 20


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function wants. Adapters and view are None where anything is welcome."""

    wants_value: bool
    value: TypeAdapter[Any] | View | None
    wants_config: bool
    config: TypeAdapter[Any] | None
    context: str | None

    @property
    def raw(self) -> bool:
        """Whether large `bytes` shall come as views."""
        return isinstance(self.value, View) and self.value.raw

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
    context = next((parameter for parameter, hint in hints.items() if bare(hint) is Context and parameter in parameters), None)
    rest = [parameter for parameter in parameters.values() if parameter.name not in (context, "config")]
    first = rest.pop(0) if rest and rest[0].kind in (rest[0].POSITIONAL_ONLY, rest[0].POSITIONAL_OR_KEYWORD) else None
    _refuse_unfillable(rest, name)
    return Signature(
        wants_value=first is not None,
        value=None if first is None else _view_or_adapter(hints.get(first.name, Any), first.name, name),
        wants_config="config" in parameters,
        config=_adapter(hints.get("config", Any), "config", name),
        context=context,
    )


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)  # what `Annotated` says beside the type is for pydantic
    except NameError as error:
        raise UsageError(f"node function {name}: {error}; define the types of a node's parameters at the top of its module") from None


def _refuse_unfillable(parameters: list[inspect.Parameter], name: str) -> None:
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UsageError(
                f"node function {name}: nothing is known to pass as `{parameter.name}`; "
                "a node takes its value, `config`, and a parameter annotated `Context`"
            )


def _view_or_adapter(annotation: Any, parameter: str, name: str) -> TypeAdapter[Any] | View | None:
    return wanted(annotation) or _adapter(annotation, parameter, name)


def _adapter(annotation: Any, parameter: str, name: str) -> TypeAdapter[Any] | None:
    if bare(annotation) is Any or annotation is object:
        return None
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError as error:
        adapter = _adapter_of_coded(annotation)
        if adapter is not None:
            return adapter
        reason = str(error).partition("\n")[0]
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
    raise UsageError(f"node function {name}: `{parameter}` cannot be checked against its annotation ({reason})")


def _adapter_of_coded(annotation: Any) -> TypeAdapter[Any] | None:
    """For an annotation with types in it that pydantic does not know, but a codec does; None if nobody knows one of them."""
    try:
        adapter = _arbitrary(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError):
        return None
    return adapter if all(codec_name(type) for type in _only_checked_by_type(adapter.core_schema)) else None


_ANY_TYPE = ConfigDict(arbitrary_types_allowed=True)


def _arbitrary(annotation: Any) -> TypeAdapter[Any]:
    type_ = bare(annotation)
    if not isinstance(type_, type) or not (is_dataclass(type_) or hasattr(type_, "__required_keys__")):
        return TypeAdapter(annotation, config=_ANY_TYPE)
    # Dataclasses and typed dicts have their config in an attribute; it is read now, and need not stay in the user's class.
    if "__pydantic_config__" in vars(type_):
        return TypeAdapter(annotation)
    setattr(type_, "__pydantic_config__", _ANY_TYPE)  # noqa: B010
    try:
        return TypeAdapter(annotation)
    finally:
        delattr(type_, "__pydantic_config__")


def _only_checked_by_type(schema: Any) -> Iterator[type]:
    """The types of which pydantic knows nothing: what it was told to take as they are."""
    if isinstance(schema, dict):
        if schema.get("type") == "is-instance":
            yield schema["cls"]
        for part in schema.values():
            yield from _only_checked_by_type(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            yield from _only_checked_by_type(part)


def _fit(wants: TypeAdapter[Any] | View | None, value: Any, what: str) -> Any:
    if wants is None:
        return value
    if isinstance(wants, View):
        return wants.fit(value)
    try:
        return wants.validate_python(value)
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
