"""The Kafka client that node code gets: one producer per cluster and worker, started at its first record and stopped with the worker.

Guarantees: `send` returns when all in-sync replicas have the record. A producer is idempotent: what it sends again by itself, after a
broken connection, is written once. Does not: recognise a record that an earlier attempt has sent; readers know it by the header that the
node adds.

It speaks in node errors: `kafka_connection` and `kafka_timeout` (retryable: nobody knows whether the record was written), `kafka_refused`,
`kafka_too_large`, `kafka_partition`, `kafka_value`, `kafka_unusable` (the library, a file, an address), `missing_secret`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..broker.kafka import INSTALL, KafkaUnusable, connection_options, kind_of, library, said
from ..broker.secrets import SecretMissing
from ..schemas.errors import NodeError, Permanent
from ..schemas.flow.kafka import KafkaSecurity

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

TIMEOUT_S_DEFAULT = 30.0
RECORD_BYTES_MAX = 64 * 1024 * 1024
"""What a broker takes is up to the broker; this only keeps a mistake from filling the memory."""
STOP_S = 5.0
_TOPIC = re.compile(r"(?!\.\.?$)[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """Where to, and as whom. `compression`: gzip, snappy, lz4, zstd, or None."""

    brokers: tuple[str, ...]
    security: KafkaSecurity = field(default_factory=KafkaSecurity)
    compression: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """Where a record is. `timestamp`: ms since the epoch, as the broker or the client set it."""

    topic: str
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    partition: int | None

    def where(self, cluster: KafkaCluster) -> str:
        return f"{self.topic!r} at {', '.join(cluster.brokers)}"


class KafkaClient(Protocol):
    """What is asked of a client."""

    async def send(
        self,
        cluster: KafkaCluster,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> Written:
        """Write one record. Without `value` it deletes its key. Raises NodeError."""

    async def close(self) -> None: ...


class KafkaProducers:
    """The real client. `environ`: where secrets are."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._producers: dict[KafkaCluster, asyncio.Task[AIOKafkaProducer]] = {}

    async def send(
        self,
        cluster: KafkaCluster,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> Written:
        record = _Record(topic, value, key, headers, partition)
        where = record.where(cluster)
        if not _TOPIC.fullmatch(topic):  # the library would wait for it
            raise Permanent(f"{where}: a topic's name has letters, digits, `.`, `_` and `-`, 249 at most", type="kafka_refused")
        if value is None and key is None:
            raise Permanent(f"{where}: a tombstone deletes its key, so it needs one: add `key`", type="kafka_value")
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                written = await self._written(cluster, record)
        except TimeoutError:
            reason = f"{where}: not written within {timeout_s:g} s, as far as is known{said(began_s)}"
            raise NodeError(reason, type="kafka_timeout") from None
        except (KafkaUnusable, SecretMissing) as error:
            kind = "missing_secret" if isinstance(error, SecretMissing) else "kafka_unusable"
            raise Permanent(f"{where}: {error}", type=kind) from None
        except (RuntimeError, OSError) as error:  # KafkaError is a RuntimeError
            raise _told(error, cluster, where, began_s) from None
        return Written(written.topic, written.partition, written.offset, written.timestamp)

    async def close(self) -> None:
        for cluster in list(self._producers):
            await self._forget(cluster)

    async def _producer(self, cluster: KafkaCluster) -> AIOKafkaProducer:
        """Started once, however many ask at a time. One that does not start is forgotten, so that the next one to ask tries again."""
        starting = self._producers.get(cluster)
        if starting is None:
            starting = self._producers[cluster] = asyncio.get_running_loop().create_task(self._started(cluster))
        try:
            return await asyncio.shield(starting)
        except (KafkaUnusable, SecretMissing, RuntimeError, OSError):
            if self._producers.get(cluster) is starting:
                del self._producers[cluster]
            raise

    async def _started(self, cluster: KafkaCluster) -> AIOKafkaProducer:
        aiokafka, options = library(), connection_options(cluster.brokers, cluster.security, self._environ)
        try:
            producer: AIOKafkaProducer = aiokafka.AIOKafkaProducer(
                client_id="jetfleet",
                enable_idempotence=True,
                compression_type=cluster.compression,
                max_request_size=RECORD_BYTES_MAX,
                **options,
            )
        except RuntimeError as error:  # a library of the compression is missing
            raise KafkaUnusable(f"{error}: {INSTALL}") from None
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _written(self, cluster: KafkaCluster, record: _Record) -> Any:
        """A producer that lost its place in the log, because another record was refused, has written nothing: a new one writes it."""
        with contextlib.suppress(*_lost_place()):
            return await self._tried(cluster, record)
        return await self._tried(cluster, record)

    async def _tried(self, cluster: KafkaCluster, record: _Record) -> Any:
        producer = await self._producer(cluster)
        if record.partition is not None and record.partition not in await producer.partitions_for(record.topic):
            raise Permanent(f"{record.where(cluster)}: there is no partition {record.partition}", type="kafka_partition")
        try:
            return await producer.send_and_wait(record.topic, record.value, record.key, record.partition, headers=list(record.headers))
        except _lost_place():
            await self._forget(cluster, producer)
            raise

    async def _forget(self, cluster: KafkaCluster, useless: AIOKafkaProducer | None = None) -> None:
        """Stop it, after what it still has to write, if that takes no longer than a moment. `useless`: only if it is this one still."""
        starting = self._producers.get(cluster)
        if starting is None or (useless is not None and not _is(starting, useless)):
            return
        del self._producers[cluster]
        starting.cancel()  # one that is started is not disturbed by it
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            stopping = asyncio.get_running_loop().create_task(starting.result().stop())
            await asyncio.wait([stopping], timeout=STOP_S)


def _is(starting: asyncio.Task[AIOKafkaProducer], producer: AIOKafkaProducer) -> bool:
    return starting.done() and not starting.cancelled() and starting.exception() is None and starting.result() is producer


def _lost_place() -> tuple[type[Exception], ...]:
    """Errors of a producer that is of no use any more. Raises KafkaUnusable."""
    kafka = library().errors
    return kafka.ProducerClosed, kafka.ProducerFenced, kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId


def _told(error: Exception, cluster: KafkaCluster, where: str, since_s: float) -> NodeError:
    """The library's error as one of a node."""
    from aiokafka import errors as kafka

    told = f"{where}: {' '.join(str(error).split()) or type(error).__name__}{said(since_s)}"
    kind = kind_of(error, cluster.brokers, since_s)
    if issubclass(kind, (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)):
        return Permanent(told, type="kafka_too_large")
    refused = (
        kafka.AuthenticationFailedError,
        kafka.SaslAuthenticationFailed,
        kafka.TopicAuthorizationFailedError,
        kafka.ClusterAuthorizationFailedError,
        kafka.InvalidTopicError,
        kafka.PolicyViolationError,
        ssl.SSLCertVerificationError,
    )
    return Permanent(told, type="kafka_refused") if issubclass(kind, refused) else NodeError(told, type="kafka_connection")
