"""Params of `filesystem`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from ..block import Spelled, as_list
from ..definition import Text
from .values import Texts

Change = Literal["create", "modify", "remove", "rename"]
_CHANGES = {"created": "create", "modified": "modify", "removed": "remove", "delete": "remove", "deleted": "remove", "renamed": "rename"}


def _changes(value: Any) -> Any:
    value = as_list(value)
    return [_CHANGES.get(word, word) if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


class FilesystemParams(Spelled):
    """Watches files and folders. Without `patterns` every name counts."""

    spellings: ClassVar[Mapping[str, str]] = {"path": "paths"}

    paths: Texts
    recursive: bool = False
    patterns: Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=str | list[str])] = []
    events: Annotated[list[Change], Field(min_length=1), BeforeValidator(_changes, json_schema_input_type=str | list[str])] = [
        "create",
        "modify",
        "remove",
        "rename",
    ]
