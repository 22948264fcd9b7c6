"""Params of `webhook`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..block import Refused, Spelled, as_list
from ..definition import Milliseconds, Text
from ..secret_name import SecretNames
from .route import parse_route


def _route(path: str) -> str:
    try:
        parse_route(path)
    except ValueError as error:
        hint = f"write `/{path}`" if not path.startswith("/") else "write `/orders`, `/orders/{id}` or `/files/{rest:path}`"
        raise Refused("INVALID_VALUE", str(error), hint) from None
    return path


Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH"]


def _methods(value: Any) -> Any:
    value = as_list(value)
    return [word.upper() if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise Refused("INVALID_VALUE", f"`{text}` is no network", "write an address or a CIDR block, such as `192.0.2.0/24`") from None


Networks = Annotated[list[Annotated[Text, AfterValidator(_network)]], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_|~-]{1,128}$")]

Proof = Literal["github", "stripe", "slack", "standard", "hmac", "api_key", "bearer", "basic"]
_PROOFS = {"apikey": "api_key", "standard_webhooks": "standard", "standardwebhooks": "standard", "token": "bearer"}


def _proof(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    word = value.lower().replace("-", "_")
    return _PROOFS.get(word, word)


class WebhookAuth(Spelled):
    """How a caller proves who it is. Secrets are named here, and found where the process runs.

    A secret's value is the text itself, or a JSON map that has it at `key`; of `basic` it is `user:password`. While secrets are
    exchanged, several are valid.
    """

    spellings: ClassVar[Mapping[str, str]] = {"secret": "secrets"}

    type: Annotated[Proof, BeforeValidator(_proof, json_schema_input_type=str)]
    secrets: SecretNames
    key: Text = "token"
    header: HeaderName | None = None
    query: Text | None = None
    prefix: str = ""
    algorithm: Literal["sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: HeaderName | None = None
    tolerance_s: Annotated[int, Field(ge=1, le=1_800)] = 300

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        allowed = {"type", "secrets", "key"} | _FIELDS[self.type]
        for name in sorted(self.model_fields_set - allowed):
            raise Refused("INVALID_VALUE", f"`{name}` means nothing for `{self.type}`", f"leave out `{name}`", (name,))
        if self.header and self.query:
            raise Refused("INVALID_VALUE", "`header` and `query` exclude each other", "keep one of them", ("query",))
        return self


_FIELDS: Mapping[str, set[str]] = {
    "github": set(),
    "stripe": {"tolerance_s"},
    "slack": {"tolerance_s"},
    "standard": {"tolerance_s"},
    "hmac": {"header", "prefix", "algorithm", "encoding", "timestamp_header", "tolerance_s"},
    "api_key": {"header", "query"},
    "bearer": set(),
    "basic": set(),
}
"""Which fields mean something for which proof, besides those that all have."""


EVERY_ADDRESS = frozenset(("", "0.0.0.0", "::"))
"""Hosts that stand for all addresses of the machine."""


class WebhookParams(Spelled):
    """An HTTP endpoint. What a request brings is the payload; the answer is the id of the run, or with `wait` its output."""

    spellings: ClassVar[Mapping[str, str]] = {"method": "methods"}

    host: Text = "0.0.0.0"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8080
    path: Annotated[Text, AfterValidator(_route)] = "/"
    methods: Annotated[list[Method], Field(min_length=1), BeforeValidator(_methods, json_schema_input_type=str | list[str])] = ["POST"]
    auth: WebhookAuth | None = None
    content: Literal["auto", "json", "form", "multipart", "raw"] = "auto"
    wait: bool = False
    timeout_ms: Milliseconds = 30_000
    reveal_errors: bool = False
    max_body_bytes: Annotated[int, Field(ge=1, le=1 << 30)] = 1 << 20
    read_timeout_ms: Milliseconds = 10_000
    idempotency_header: HeaderName | None = None
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    rate_burst: Annotated[int, Field(ge=1)] | None = None
    allow_ips: Networks = []
    trusted_proxies: Networks = []

    @property
    def open_to_all(self) -> bool:
        """Whether whoever reaches it may call: nobody has to prove who it is, from whatever address."""
        return self.auth is None and not self.allow_ips
