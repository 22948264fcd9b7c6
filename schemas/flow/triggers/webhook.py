"""Params of `webhook`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..block import Refused, Spelled, as_list
from ..definition import Block, Text


def _route(path: str) -> str:
    if not path.startswith("/"):
        raise Refused("INVALID_VALUE", f"the path `{path}` does not begin with `/`", f"write `/{path}`")
    return path


Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH"]


def _methods(value: Any) -> Any:
    value = as_list(value)
    return [word.upper() if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


class WebhookAuth(Block):
    """Who may call: the value at `key` of the secret named `secret`."""

    type: Text
    secret: Text
    key: Text = "token"


class WebhookParams(Spelled):
    """An HTTP endpoint; the request's body is the payload."""

    spellings: ClassVar[Mapping[str, str]] = {"method": "methods"}

    host: Text = "0.0.0.0"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8080
    path: Annotated[Text, AfterValidator(_route)] = "/"
    methods: Annotated[list[Method], Field(min_length=1), BeforeValidator(_methods, json_schema_input_type=str | list[str])] = ["POST"]
    auth: WebhookAuth | None = None
