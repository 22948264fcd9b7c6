"""What configs and params share: other spellings of a key, refusals with a code, and small field types.

Every config model accepts all spellings that are in circulation and holds ONE normal form, so that nobody behind it
has to know that `wait_count` once meant `count`. A validator that refuses a value raises `Refused`; the loader
turns it into a problem with code, hint and position.

Does not check selectors inside texts: that is the compiler's work, which knows the nodes they may name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, model_validator

from ..errors import JetfleetError
from ..selectors import parse_path
from .definition import Block


class Refused(ValueError):
    """A value that a model will not take; `at` is where it stands, relative to the model or field that raised it."""

    def __init__(self, code: str, message: str, hint: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.at = code, message, hint, at


class Spelled(Block):
    """A block whose keys have other spellings: `spellings` maps each of them to the field that it means."""

    spellings: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not cls.spellings.keys() & raw.keys():
            return raw
        renamed: dict[str, Any] = {}
        for key, value in raw.items():
            field = cls.spellings.get(key, key)
            if field in renamed:
                raise Refused("INVALID_VALUE", f"`{field}` is written twice, in two spellings", "keep one of them", (key,))
            renamed[field] = value
        return renamed


def synonyms(words: Mapping[str, str]) -> Callable[[Any], Any]:
    """A validator that replaces each synonym by the word that it means and lets everything else pass."""
    return lambda value: words.get(value, value) if isinstance(value, str) else value


def as_list(value: Any) -> Any:
    """One value where a list is meant: a list of one."""
    return [value] if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def is_template(text: str) -> bool:
    """Whether a text holds a selector, so that its value is known only when the node runs."""
    return "${" in text


def _data_path(text: str) -> str:
    return text if is_template(text) else _checked(text)


def _own_path(text: str) -> str:
    if is_template(text):
        raise Refused(
            "INVALID_SELECTOR",
            f"`{text}` is a selector; a path into the node's own input is meant here",
            "write `items`, not `${node.items}`",
        )
    return _checked(text)


def _bare_path(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"field"}:
        value = value["field"]
    if isinstance(value, str) and value.startswith("${") and value.endswith("}") and value.count("${") == 1:
        return value[2:-1].strip()
    return value


def _checked(text: str) -> str:
    try:
        parse_path(text)
    except JetfleetError as error:
        raise Refused("INVALID_SELECTOR", str(error), getattr(error, "hint", "")) from None
    return text


FieldPath = Annotated[str, AfterValidator(_data_path)]
"""A path into a value (`order.items[0].price`), possibly with selectors in it: the worker resolves it."""

OwnPath = Annotated[str, AfterValidator(_own_path)]
"""A path into the node's own input, fixed when the flow is written: the engine walks it."""

TestedPath = Annotated[str, BeforeValidator(_bare_path, json_schema_input_type=str | dict[str, str]), AfterValidator(_own_path)]
"""The same, also written `{field: path}` or `${path}`."""
