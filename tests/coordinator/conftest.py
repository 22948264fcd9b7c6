"""A server of the test's own, for the tests that deploy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.conftest import start_server


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = start_server(tmp_path / "nats")
    yield server.url
    server.stop()
