"""std::kafka_publish: write a record to a Kafka topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from ...schemas.errors import Permanent
from ...schemas.flow.kafka import KafkaSecurity
from ...schemas.values import to_text
from ..context import Context
from ..kafka_client import TIMEOUT_S_DEFAULT, KafkaCluster
from .base import StandardNode

IDEMPOTENCY_HEADER = "idempotency-key"


class KafkaPublishNode(StandardNode):
    """Gives `{topic, partition, offset, timestamp}`, when all in-sync replicas have the record."""

    name = "std::kafka_publish"
    mode = "async"
    wants_context = True

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any, Context], Awaitable[Any]]:
        timeout_s = TIMEOUT_S_DEFAULT if config["timeout_ms"] is None else config["timeout_ms"] / 1_000
        cluster = KafkaCluster(tuple(config["brokers"]), KafkaSecurity.model_validate(config["security"]), config["compression"])
        key = _bytes(config["key"])

        async def publish(value: Any, context: Context) -> Any:
            written = await context.kafka.send(
                cluster,
                config["topic"],
                None if config["tombstone"] else _value(value if config["value"] is None else config["value"]),
                key=key,
                headers=_headers(config["headers"], context.idempotency_key),
                partition=config["partition"],
                timeout_s=timeout_s,
            )
            return asdict(written)

        return publish


def _value(value: Any) -> bytes:
    """Raises Permanent for a value that has no text."""
    content = _bytes(value)
    if content is None:
        raise Permanent(
            "the value is null, which deletes its key in many topics: say `tombstone: true` if that is meant", type="kafka_value"
        )
    return content


def _bytes(value: Any) -> bytes | None:
    """Bytes as they are, text in UTF-8, anything else as JSON; null stays null."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    text = to_text(value)
    if text is None and value is not None:
        raise Permanent(f"a {type(value).__name__} has no form as text or JSON", type="kafka_value")
    return None if text is None else text.encode()


def _headers(headers: Mapping[str, Any], idempotency_key: str) -> list[tuple[str, bytes]]:
    """A list repeats its header, null leaves it out. Readers know a record that is there twice, because its worker died, by its key."""
    pairs = [(name, item) for name, value in headers.items() for item in (value if isinstance(value, list) else [value])]
    told = [(name, content) for name, item in pairs if (content := _bytes(item)) is not None]
    if any(name.lower() == IDEMPOTENCY_HEADER for name, _ in told):
        return told
    return [*told, (IDEMPOTENCY_HEADER, idempotency_key.encode())]
