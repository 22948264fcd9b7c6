"""The process that consumes Kafka is killed in the middle: every record has exactly one run, and its offset is committed."""

from __future__ import annotations

from pathlib import Path

from ...fleet.conftest import ServerFactory
from ...fleet.running import run
from ..kafka.topics import Cluster
from .amounts import AMOUNTS, WITHIN_S
from .kafka_world import Producers
from .stage import proven


@AMOUNTS
def test_every_record_is_one_run(kafka: Cluster, server_factory: ServerFactory, tmp_path: Path, count: int, kills: int) -> None:
    url = server_factory(sync="always").url
    run(proven("kafka", url, tmp_path, Producers(url, tmp_path, kafka), count, kills), WITHIN_S)
