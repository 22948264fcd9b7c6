"""The clusters of the tests of Kafka."""

from __future__ import annotations

import importlib.util

from ..kafka.conftest import kafka, mock_kafka, real_kafka

__all__ = ["kafka", "mock_kafka", "real_kafka"]

if not all(importlib.util.find_spec(name) for name in ("aiokafka", "confluent_kafka")):
    collect_ignore = ["test_kafka.py"]
