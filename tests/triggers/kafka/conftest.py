"""The clusters that the tests run against: librdkafka's mock cluster, and a real broker where there is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import real_broker

if TYPE_CHECKING:
    from .mock_cluster import MockKafka
    from .topics import Cluster

if not all(importlib.util.find_spec(name) for name in ("aiokafka", "confluent_kafka")):
    collect_ignore_glob = ["test_*.py"]

NO_BROKER = real_broker.missing()
MOCK = pytest.param("mock", marks=pytest.mark.part("kafka mock cluster"))
REAL = pytest.param("real", marks=[pytest.mark.part("kafka broker"), pytest.mark.skipif(bool(NO_BROKER), reason=NO_BROKER)])


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_broker.RealKafka]:
    """One for all tests: it takes seconds to start."""
    broker = real_broker.RealKafka(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.close()


@pytest.fixture
def mock_kafka() -> Iterator[MockKafka]:
    from .mock_cluster import MockKafka

    with MockKafka() as cluster:
        yield cluster


@pytest.fixture(params=[MOCK, REAL])
def kafka(request: pytest.FixtureRequest) -> Cluster:
    """The same test against both."""
    cluster: Cluster = request.getfixturevalue(f"{request.param}_kafka")
    return cluster
