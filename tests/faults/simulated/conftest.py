"""The real server that the simulated one is held against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...client.servers import Server


@pytest.fixture(scope="session")
def real_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("real")
    server = Server(folder)
    server.start()
    yield server.url
    server.kill()
