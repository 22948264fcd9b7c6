"""Kafka, as far as the trigger that consumes and the node that publishes share it: the library, and how a client proves who it is.

aiokafka is imported when a flow needs it, and not before. It logs an error for each of the many attempts to reach a broker that is down:
these lines are kept from the log, and the last of them is told with the error that comes of it.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from ..schemas.errors import JetfleetError
from ..schemas.flow.kafka import KafkaSecurity
from . import secrets

INSTALL = "pip install 'jetfleet[kafka]'"


class KafkaUnusable(JetfleetError):
    """Kafka cannot be reached from here before somebody has done something: installed the library, put a file in its place."""

    code = "KAFKA_UNUSABLE"


def library() -> Any:
    """The module aiokafka. Raises KafkaUnusable with the command that installs it."""
    try:
        import aiokafka
    except ImportError as error:
        raise KafkaUnusable(f"Kafka needs a library that is not installed ({error}): {INSTALL}") from None
    logger = logging.getLogger("aiokafka")
    if _last not in logger.handlers:
        logger.addHandler(_last)
        logger.propagate = False
    return aiokafka


class _LastWords(logging.Handler):
    """What a logger said last."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = " ".join(record.getMessage().split())


_last = _LastWords()


def said() -> str:
    """The reason that the library gave last, to be put behind a message; empty if it gave none."""
    return f" (the client says: {_last.text[:300]})" if _last.text else ""


def connection_options(brokers: Sequence[str], security: KafkaSecurity, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What every client of aiokafka is made with. Reads files and secrets. Raises KafkaUnusable, SecretMissing."""
    options: dict[str, Any] = {"bootstrap_servers": list(brokers), "security_protocol": security.protocol}
    if security.protocol.endswith("SSL"):
        options["ssl_context"] = _trust(security, environ)
    if security.protocol.startswith("SASL_"):
        options["sasl_mechanism"] = security.sasl_mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = secrets.require(security.secret or "", environ)
    return options


def _trust(security: KafkaSecurity, environ: Mapping[str, str]) -> ssl.SSLContext:
    password = secrets.require(security.key_secret, environ) if security.key_secret else None
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.cert_file and security.key_file:
            # An empty password for a key that has one is an error; without any, OpenSSL would ask at the terminal.
            context.load_cert_chain(security.cert_file, security.key_file, password or "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(name for name in (security.ca_file, security.cert_file, security.key_file) if name)
        raise KafkaUnusable(f"the certificates cannot be used ({files}): {error}") from None
    context.check_hostname = security.verify_hostname
    return context
