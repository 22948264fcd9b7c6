"""What both ends of Kafka take, the trigger that consumes and the node that publishes: brokers, and how one proves who one is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .block import Refused, Spelled
from .definition import Text
from .secret_name import SecretName


def _brokers(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _word(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Brokers = Annotated[list[Text], Field(min_length=1), BeforeValidator(_brokers, json_schema_input_type=str | list[str])]
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSecurity(Spelled):
    """How a client and its brokers trust each other.

    Passwords are secrets: named here, and found where the process runs. Files are read there as well. Without `ca_file` the certificate
    authorities of the system count.
    """

    protocol: Annotated[Protocol, BeforeValidator(_word, json_schema_input_type=str)] = "PLAINTEXT"
    sasl_mechanism: Annotated[Mechanism, BeforeValidator(_word, json_schema_input_type=str)] = "PLAIN"
    username: Text | None = None
    secret: SecretName | None = None
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    key_secret: SecretName | None = None
    verify_hostname: bool = True

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "password" in raw:
            raise Refused(
                "INVALID_VALUE",
                "`password` may not stand in a flow: everybody who can read it could use it",
                "keep it as a secret and write its name: `secret: kafka_password`",
                ("password",),
            )
        return raw

    @model_validator(mode="after")
    def _complete(self) -> Self:
        sasl = self.protocol.startswith("SASL_")
        if sasl and not (self.username and self.secret):
            missing = "username" if not self.username else "secret"
            raise Refused("MISSING_FIELD", f"`{missing}` is missing, which {self.protocol} needs", f"add `{missing}: NAME`", (missing,))
        if not sasl and (self.username or self.secret):
            hint = "write `protocol: SASL_SSL`, or leave out `username` and `secret`"
            raise Refused("INVALID_VALUE", f"{self.protocol} has no users", hint, ("protocol",))
        files = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name)]
        if files and not self.protocol.endswith("SSL"):
            raise Refused("INVALID_VALUE", f"{self.protocol} does not encrypt", "write `protocol: SSL` or `SASL_SSL`", (files[0],))
        if bool(self.cert_file) != bool(self.key_file):
            missing = "key_file" if self.cert_file else "cert_file"
            raise Refused("MISSING_FIELD", f"`{missing}` is missing: a certificate and its key go together", f"add `{missing}`", (missing,))
        return self
