"""A Kafka cluster without a Kafka: the mock cluster inside librdkafka, which speaks the real protocol on real sockets.

    with MockKafka(brokers=2) as kafka:
        kafka.create_topic("orders", partitions=8)
        ... kafka.brokers ...
        kafka.down()

It keeps everything in memory and knows no transactions' isolation, no security and no compaction; what it does know are troubles that a real
broker cannot be asked for: `down`, `fail`, `rtt`. The library is the one inside the wheel of confluent-kafka, called by ctypes because the
Python client exposes only a part of the mock. `python mock_cluster.py TOPIC PARTITIONS` is a cluster as a process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PRODUCE, FETCH, METADATA, OFFSET_COMMIT, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 0, 1, 3, 8, 10, 11, 12, 14
"""Numbers of requests, for `fail`."""
NOT_LEADER, REQUEST_TIMED_OUT, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER = 6, 7, 15, 16, 27, 25
MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED, OUT_OF_ORDER = 10, 29, 45
"""Errors that they can end with."""

_PRODUCER = 0


class MockKafka:
    """`brokers` of this object is their address list, as clients want it."""

    def __init__(self, brokers: int = 2, partitions: int = 8) -> None:
        self._library = _librdkafka()
        reason = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", reason, len(reason))
        self._client = self._library.rd_kafka_new(_PRODUCER, settings, reason, len(reason))
        if not self._client:
            raise RuntimeError(f"librdkafka does not start: {reason.value.decode()}")
        self._ids = range(1, brokers + 1)
        self._partitions = partitions
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.brokers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._client:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def create_topic(self, name: str, partitions: int | None = None) -> None:
        self._require(self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions or self._partitions, 1))

    # --- troubles

    def down(self) -> None:
        """No broker listens any more, and all connections are cut. What is stored stays."""
        for id in self._ids:
            self._require(self._library.rd_kafka_mock_broker_set_down(self._cluster, id))

    def up(self) -> None:
        for id in self._ids:
            self._require(self._library.rd_kafka_mock_broker_set_up(self._cluster, id))

    def rtt(self, milliseconds: int) -> None:
        """How long every answer takes."""
        for id in self._ids:
            self._require(self._library.rd_kafka_mock_broker_set_rtt(self._cluster, id, milliseconds))

    def fail(self, request: int, errors: Sequence[int]) -> None:
        """The next requests of this kind end with these errors, one each."""
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), (ctypes.c_int * len(errors))(*errors))

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Another broker leads a partition from now on."""
        self._require(self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker))

    def _require(self, error: int) -> None:
        if error:
            raise RuntimeError(f"the mock cluster answers with error {error}")


@cache
def _librdkafka() -> Any:
    """The shared object in the wheel. Raises FileNotFoundError where confluent-kafka was built against the system's own."""
    found = importlib.util.find_spec("confluent_kafka")
    if found is None or found.origin is None:
        raise FileNotFoundError("confluent-kafka is not installed")
    folder = Path(found.origin).parent
    file = next(iter([*folder.with_name("confluent_kafka.libs").glob("librdkafka*"), *folder.glob(".dylibs/librdkafka*")]), None)
    if file is None:
        raise FileNotFoundError(f"there is no librdkafka beside {folder}")
    library = ctypes.CDLL(str(file))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_rtt", number, [pointer, ctypes.c_int32, number]),
        ("rd_kafka_mock_push_request_errors_array", None, [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)]),
        ("rd_kafka_mock_partition_set_leader", number, [pointer, text, ctypes.c_int32, ctypes.c_int32]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def main(topic: str, partitions: str) -> None:
    """As a process: says its address, and lives until its input ends."""
    with MockKafka(partitions=int(partitions)) as cluster:
        cluster.create_topic(topic)
        print(cluster.brokers, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
