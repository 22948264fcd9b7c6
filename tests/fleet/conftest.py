"""Real servers for the tests of the fleet.

nats_url          one server for the whole session: for tests that keep to streams and subjects of their own
fresh_url         a server of the test's own, empty: for tests that deploy (it takes some 20 ms)
server_factory    makes servers that a test kills and restarts: `server_factory(sync="1s")`
start_server      the same as a function of the module, for fixtures of other folders

Their stores lie in memory where there is plenty: a process that is killed loses nothing there either, and nobody waits for a disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.server import ServerSettings

from .background import BackgroundServer

ServerFactory = Callable[..., BackgroundServer]
MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 8 << 30


def start_server(data: Path, **settings: Any) -> BackgroundServer:
    """On a free port. It is not restarted when it dies, unless `restarts` says so: a test that kills it decides when it comes back."""
    return BackgroundServer(ServerSettings(**{"data": data, "port": 0, "restarts": 0, **settings})).start()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_server(tmp_path_factory.mktemp("nats"))
    yield server.url
    server.stop()


def in_memory() -> bool:
    return MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_MIN_BYTES


@pytest.fixture
def server_factory() -> Iterator[ServerFactory]:
    with ExitStack() as servers:

        def make(**settings: Any) -> BackgroundServer:
            data = settings.pop("data", None)
            if data is None:
                data = Path(servers.enter_context(tempfile.TemporaryDirectory("-jetfleet", dir=MEMORY if in_memory() else None)))
            server = start_server(data, **settings)
            servers.callback(server.stop)
            return server

        yield make


@pytest.fixture
def fresh_url(server_factory: ServerFactory) -> str:
    return server_factory().url
