"""The group: this source's membership in a consumer group, and the partitions that it has been given.

    join ─▶ assigned ─▶ poll … ─▶ commit, at intervals ─▶ revoked: wait for what is in flight, commit, forget ─▶ assigned …

Guarantees: what is committed has been confirmed, without gaps. While nothing is wanted the partitions are held: the session lives, and no
record is taken or lost.

What aiokafka does by itself: heartbeats, finding the brokers again, joining again. Its errors come out of `poll`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka import errors as kafka

from ...broker.kafka import kind_of, said
from ...broker.triggers.source import SourceBroken, SourceFailed
from ...schemas.flow.triggers.kafka import KafkaParams
from .offsets import Offsets

POLL_MS = 200
SILENT_S = 30.0
"""Without an answer from the brokers. aiokafka would try for ever; a source that fails says so to whoever looks at it."""
REVOKE_S = 2.0
"""How long a rebalance waits for what is in flight. What is not confirmed by then is read again, here or by another member."""
LEAVE_S, COMMIT_S = 2.0, 1.0
IDLE_MAX_MS = 2**31 - 1
"""aiokafka leaves the group when it is not polled for so long. Being held is no reason to leave."""

BROKEN: tuple[type[Exception], ...] = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.GroupAuthorizationFailedError,
    kafka.TopicAuthorizationFailedError,
    kafka.InconsistentGroupProtocolError,
    kafka.InvalidGroupIdError,
    kafka.InvalidSessionTimeoutError,
    kafka.InvalidTopicError,
    kafka.NoOffsetForPartitionError,
    kafka.OffsetOutOfRangeError,
    kafka.RecordTooLargeError,
    kafka.UnsupportedCodecError,
    kafka.UnsupportedSaslMechanismError,
    kafka.SaslAuthenticationFailed,
    ssl.SSLCertVerificationError,
)
"""Errors that last until somebody does something."""

_NONE: Mapping[TopicPartition, int] = {}
log = structlog.get_logger("jetfleet.triggers")
_leaving: set[asyncio.Task[None]] = set()


class Group(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer, used by one task."""

    def __init__(self, params: KafkaParams, options: dict[str, Any]) -> None:
        """Within the loop. `options`: how to connect."""
        self._params = params
        self._partitions: dict[TopicPartition, Offsets] = {}
        self._consumer = _consumer(params, options)
        self._held = False
        self._tracked = True
        self._heard_at = time.monotonic()
        self._progress = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self.rebalances = 0

    @property
    def partitions(self) -> Collection[TopicPartition]:
        return self._partitions.keys()

    async def join(self) -> None:
        """Returns when the brokers answer; partitions come later. Raises SourceFailed, SourceBroken."""
        pattern, topics = self._params.pattern, self._params.topics
        with _told(self._params):
            await self._consumer.start()
            if pattern is None:
                self._consumer.subscribe(topics=topics, listener=self)
            else:
                self._consumer.subscribe(pattern=f"(?:{pattern})$", listener=self)
        self._heard_at = time.monotonic()
        self._committing = asyncio.get_running_loop().create_task(self._commit_at_intervals(), name="kafka offsets")

    async def leave(self) -> None:
        """Commit what may be committed, and let others have the partitions.

        Where brokers are silent the rest of it happens later, behind our back: a consumer that is forgotten would keep its partitions, and
        read none of them.
        """
        leaving = asyncio.get_running_loop().create_task(self._leave())
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)
        await asyncio.wait([leaving], timeout=LEAVE_S)

    async def _leave(self) -> None:
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.wait([self._committing])
        await self._commit_within(COMMIT_S)
        with contextlib.suppress(kafka.KafkaError):
            await self._consumer.stop()

    # --- records

    async def poll(self, wait_ms: int = POLL_MS) -> list[tuple[Offsets, ConsumerRecord[bytes, bytes]]]:
        """What has come, partition by partition in the order of offsets; nothing after a while.

        Raises SourceFailed, SourceBroken; then records may be lost to this group, and only a new one sees them again.
        """
        if self._committing is not None and self._committing.done():
            self._committing.result()  # it ends with an error only
        with self._losing_track(), _told(self._params):
            found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1_000 + 1):  # it would wait for an assignment for ever
                    found = await self._consumer.getmany(timeout_ms=wait_ms)
        if not found:
            await self._require_answers()
            return []
        self._heard_at = time.monotonic()
        return [taken for key, records in found.items() for taken in self._taken(key, records)]

    @contextlib.contextmanager
    def _losing_track(self) -> Iterator[None]:
        """A poll that fails may have passed over records of other partitions: from then on the consumer's positions prove nothing."""
        try:
            yield
        except BaseException:
            self._tracked = False
            raise

    def hold(self) -> None:
        """Take nothing until `release`, of no partition that is there or comes."""
        self._held = True
        self._consumer.pause(*self._consumer.assignment())

    def release(self) -> None:
        self._held = False
        self._heard_at = time.monotonic()
        self._consumer.resume(*self._consumer.paused())

    def confirmed(self, partition: Offsets, offset: int) -> None:
        partition.confirmed(offset)
        if not partition.open:
            self._progress.set()

    def _taken(self, key: TopicPartition, records: list[ConsumerRecord[bytes, bytes]]) -> Iterator[tuple[Offsets, Any]]:
        partition = self._offsets(key)
        partition.taken(records[-1].offset)
        return ((partition, record) for record in records)

    def _offsets(self, key: TopicPartition) -> Offsets:
        found = self._partitions.get(key)
        if found is None:
            found = self._partitions[key] = Offsets()
        return found

    async def _require_answers(self) -> None:
        """Raises SourceFailed if the brokers have been silent for long. A partition that is read answers at least twice a second."""
        if self._held:
            return
        answered = max((self._consumer.last_poll_timestamp(key) or 0 for key in self._consumer.assignment()), default=0) / 1_000
        silent_s = min(time.monotonic() - self._heard_at, time.time() - answered)
        if silent_s < SILENT_S:
            return
        if not self._consumer.assignment() and (known := await self._consumer.topics()):
            if self._params.topics and known.isdisjoint(self._params.topics):
                raise SourceFailed(
                    f"there is no topic {', '.join(self._params.topics)} at {', '.join(self._params.brokers)}, or none to see"
                )
            self._heard_at = time.monotonic()  # others have all partitions, or are slow to share them
            return
        raise SourceFailed(f"no answer from {', '.join(self._params.brokers)} for {SILENT_S:.0f} s{said(time.monotonic() - SILENT_S)}")

    # --- offsets

    async def _commit_at_intervals(self) -> None:
        while True:
            await asyncio.sleep(self._params.commit_interval_ms / 1_000)
            await self._commit(await self._positions())

    async def _positions(self) -> dict[TopicPartition, int]:
        """Where the consumer stands in idle partitions.

        Committed at the first assignment, what comes while nobody listens is not skipped by a group that begins at the latest record. Later
        on, the marks of transactions, which are no records, do not look like a backlog.
        """
        found: dict[TopicPartition, int] = {}
        with contextlib.suppress(TimeoutError, kafka.KafkaError):
            async with asyncio.timeout(1):
                for key, partition in list(self._partitions.items()):
                    if partition.idle:
                        found[key] = await self._consumer.position(key)
        return found if self._tracked else {}

    async def _commit_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._commit()

    async def _commit(self, positions: Mapping[TopicPartition, int] = _NONE) -> None:
        """Whatever goes wrong is logged: it costs records that are read twice, and are the same runs."""
        due: dict[TopicPartition, int] = {}
        for key, partition in self._partitions.items():
            place = positions.get(key) if partition.idle else None
            place = partition.committable() if place is None else place
            if place is not None and place != partition.committed:
                due[key] = place
        if not due:
            return
        try:
            await self._consumer.commit(due)
        except kafka.KafkaError as error:
            log.info("offsets are not committed", group=self._params.group_id, reason=repr(error))
            return
        for key, place in due.items():
            if key in self._partitions:  # it may have been revoked meanwhile
                self._partitions[key].committed = place

    # --- rebalances, called by the consumer, which goes on with its heartbeats meanwhile

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        lost = list(self._partitions.values())  # all of them: it gives everything back before it joins again
        for partition in lost:
            partition.revoked = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(REVOKE_S, self._params.session_timeout_ms / 3_000)):
                await self._settled(lost)
        await self._commit_within(REVOKE_S)
        self._partitions = {}

    async def _settled(self, partitions: Collection[Offsets]) -> None:
        while any(partition.open for partition in partitions):
            self._progress.clear()
            await self._progress.wait()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.rebalances += 1
        self._heard_at = time.monotonic()
        for key in assigned:
            self._offsets(key)
        if self._held:
            self._consumer.pause(*assigned)
        log.info("reads partitions", group=self._params.group_id, partitions=_names(assigned))


def _consumer(params: KafkaParams, options: dict[str, Any]) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        client_id=params.client_id,
        group_id=params.group_id,
        enable_auto_commit=False,
        auto_offset_reset=params.auto_offset_reset,
        session_timeout_ms=params.session_timeout_ms,
        heartbeat_interval_ms=max(1, min(3_000, params.session_timeout_ms // 3)),
        max_poll_interval_ms=IDLE_MAX_MS,
        max_poll_records=params.max_poll_records,
        fetch_max_bytes=params.fetch_max_bytes,
        max_partition_fetch_bytes=params.max_partition_fetch_bytes,
        fetch_max_wait_ms=params.fetch_max_wait_ms,
        metadata_max_age_ms=params.metadata_max_age_ms,
        isolation_level=params.isolation_level,
        **options,
    )


@contextlib.contextmanager
def _told(params: KafkaParams) -> Iterator[None]:
    """Errors of the library as those of a source."""
    began_s = time.monotonic()
    try:
        yield
    except (kafka.KafkaError, OSError, ValueError) as error:  # ValueError: a batch that is damaged
        told = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        reason = f"Kafka at {', '.join(params.brokers)}: {told}{said(began_s)}"
        raise (SourceBroken if issubclass(kind_of(error, params.brokers, began_s), BROKEN) else SourceFailed)(reason) from None


def _names(keys: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{key.topic}/{key.partition}" for key in sorted(keys)) or "none"
