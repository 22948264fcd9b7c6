"""A server of the test's own, that it may kill and restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.background import BackgroundServer
from ..fleet.conftest import start_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    server = start_server(tmp_path / "nats")
    yield server
    server.stop()
