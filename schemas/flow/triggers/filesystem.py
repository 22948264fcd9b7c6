"""Params of `filesystem`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..block import Refused, Spelled, as_list
from ..definition import Text
from .values import Texts

Change = Literal["create", "modify", "remove", "rename"]
Content = Literal["none", "text", "json", "bytes", "reference"]
Globs = Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
_CHANGES = {"created": "create", "modified": "modify", "removed": "remove", "delete": "remove", "deleted": "remove", "renamed": "rename"}


def _changes(value: Any) -> Any:
    value = as_list(value)
    return [_CHANGES.get(word, word) if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


def is_refused_anywhere(path: str) -> bool:
    """Whether no process may take this path, whatever it is allowed: what it means would depend on links."""
    return "\0" in path or ".." in path.split("/")


class FilesystemParams(Spelled):
    """Watches files and folders. Without `patterns` every name counts, but for hidden and temporary ones. Links are not followed."""

    spellings: ClassVar[Mapping[str, str]] = {"path": "paths"}

    paths: Texts
    recursive: bool = False
    patterns: Globs = []
    ignore: Globs = []
    hidden: bool = False
    events: Annotated[list[Change], Field(min_length=1), BeforeValidator(_changes, json_schema_input_type=str | list[str])] = [
        "create",
        "modify",
        "remove",
        "rename",
    ]
    initial: Literal["fire", "ignore"] = "fire"
    watch: Literal["auto", "native", "poll"] = "auto"
    poll_ms: Annotated[int, Field(ge=10)] = 1_000
    settle_ms: Annotated[int, Field(ge=0)] = 300
    max_wait_ms: Annotated[int, Field(ge=1)] | None = None
    content: Content = "none"
    max_content_bytes: Annotated[int, Field(ge=1)] | None = None
    on_success: Literal["keep", "delete", "move"] = "keep"
    processed: Text | None = None
    failed: Text | None = None

    @model_validator(mode="after")
    def _moved_somewhere(self) -> FilesystemParams:
        if self.on_success == "move" and self.processed is None:
            raise Refused(
                "MISSING_FIELD", "`on_success: move` needs `processed`", "name the folder, such as `processed: done`", ("processed",)
            )
        if self.on_success != "move" and self.processed is not None:
            raise Refused(
                "INVALID_VALUE", "`processed` means something with `on_success: move` only", "write both, or neither", ("processed",)
            )
        return self
