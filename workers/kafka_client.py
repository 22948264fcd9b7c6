"""The Kafka client that node code gets: one producer per cluster and worker, started at its first record and stopped with the worker.

Guarantees: `send` returns when all in-sync replicas have the record. A producer is idempotent: what it sends again by itself, after a
broken connection, is written once. Does not: recognise a record that an earlier attempt has sent; readers know it by the header that the
node adds.

It speaks in node errors: `kafka_connection` and `kafka_timeout` (retryable: nobody knows whether the record was written), `kafka_refused`,
`kafka_too_large`, `kafka_partition`, `kafka_unusable` (the library, a file), `missing_secret`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..broker.kafka import KafkaUnusable, connection_options, library, said
from ..broker.secrets import SecretMissing
from ..schemas.errors import NodeError, Permanent
from ..schemas.flow.kafka import KafkaSecurity

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

TIMEOUT_S_DEFAULT = 30.0
RECORD_BYTES_MAX = 64 * 1024 * 1024
"""What a broker takes is up to the broker; this only keeps a mistake from filling the memory."""
STOP_S = 5.0


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
        where = f"{topic} at {', '.join(cluster.brokers)}"
        try:
            async with asyncio.timeout(timeout_s):
                producer = await self._producer(cluster)
                if partition is not None and partition not in await producer.partitions_for(topic):
                    raise Permanent(f"{where}: there is no partition {partition}", type="kafka_partition")
                written = await producer.send_and_wait(topic, value, key, partition, headers=list(headers))
        except TimeoutError:
            reason = f"{where}: not written within {timeout_s:g} s, as far as is known{said()}"
            raise NodeError(reason, type="kafka_timeout") from None
        except (KafkaUnusable, SecretMissing) as error:
            kind = "missing_secret" if isinstance(error, SecretMissing) else "kafka_unusable"
            raise Permanent(f"{where}: {error}", type=kind) from None
        except (RuntimeError, OSError) as error:  # KafkaError is a RuntimeError
            raise await self._told(error, cluster, where) from None
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
        aiokafka = library()
        producer: AIOKafkaProducer = aiokafka.AIOKafkaProducer(
            client_id="jetfleet",
            enable_idempotence=True,
            compression_type=cluster.compression,
            max_request_size=RECORD_BYTES_MAX,
            **connection_options(cluster.brokers, cluster.security, self._environ),
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _told(self, error: Exception, cluster: KafkaCluster, where: str) -> NodeError:
        """The library's error as one of a node. A producer that has lost its place in the log is of no use any more."""
        from aiokafka import errors as kafka

        if isinstance(error, (kafka.ProducerClosed, kafka.ProducerFenced, kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId)):
            await self._forget(cluster)
        told = f"{where}: {' '.join(str(error).split()) or type(error).__name__}{said()}"
        if isinstance(error, (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)):
            return Permanent(told, type="kafka_too_large")
        refused = (
            kafka.AuthenticationFailedError,
            kafka.SaslAuthenticationFailed,
            kafka.TopicAuthorizationFailedError,
            kafka.ClusterAuthorizationFailedError,
            kafka.InvalidTopicError,
            kafka.PolicyViolationError,
        )
        if isinstance(error, refused):
            return Permanent(told, type="kafka_refused")
        return NodeError(told, type="kafka_connection")

    async def _forget(self, cluster: KafkaCluster) -> None:
        """Stop it, after what it still has to write, if that takes no longer than a moment."""
        starting = self._producers.pop(cluster, None)
        if starting is None:
            return
        starting.cancel()  # one that is started is not disturbed by it
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            stopping = asyncio.get_running_loop().create_task(starting.result().stop())
            await asyncio.wait([stopping], timeout=STOP_S)
