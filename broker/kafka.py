"""Kafka, as far as the trigger that consumes and the node that publishes share it: the library, and how a client proves who it is.

aiokafka is imported when a flow needs it, and not before. It logs an error for each of the many attempts to reach a broker that is down:
these lines are kept from the log, and the last of them is told with the error that comes of it.
"""

from __future__ import annotations

import logging
import math
import os
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..schemas.errors import JetfleetError
from ..schemas.flow.kafka import KafkaSecurity
from . import secrets

_BROKER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(:[0-9]{1,5})?")
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
    """What a logger said last, and when. `kept_from`: by host and port, when a client was kept from a broker, and by what kind of error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text, self.at_s = "", -math.inf
        self.kept_from: dict[tuple[object, object], tuple[float, type[BaseException]]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.text, self.at_s = " ".join(record.getMessage().split()), time.monotonic()
        match record.args:
            case (host, port, BaseException() as error):
                self.kept_from[host, port] = self.at_s, type(error)


_last = _LastWords()


def said(since_s: float) -> str:
    """The reason that the library gave last, to be put behind a message; empty if it gave none since then (monotonic)."""
    return f" (the client says: {_last.text[:300]})" if _last.text and _last.at_s >= since_s else ""


def kind_of(error: Exception, brokers: Sequence[str], since_s: float) -> type[BaseException]:
    """What an error of the library is: where it could not connect, that which kept it from these brokers, which only its log tells. Other
    clients of this process may be kept from theirs by something else."""
    from aiokafka.conn import collect_hosts
    from aiokafka.errors import KafkaConnectionError

    if not isinstance(error, KafkaConnectionError):
        return type(error)
    told = [_last.kept_from.get((host, port), (-math.inf, type(error))) for host, port, _ in collect_hosts(list(brokers))]
    at_s, kind = max(told, key=lambda each: each[0])
    return kind if at_s >= since_s else type(error)


def connection_options(brokers: Sequence[str], security: KafkaSecurity, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What every client of aiokafka is made with. Reads files and secrets. Raises KafkaUnusable, SecretMissing."""
    wrong = next((broker for broker in brokers if not _BROKER.fullmatch(broker)), None)
    if wrong is not None:
        raise KafkaUnusable(f"the broker {wrong!r} is no HOST or HOST:PORT: correct `brokers`")
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
