"""One fleet for all tests of a file: flows that wait, fail, and fork."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jetfleet.workers.up.fleet import FleetSettings

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.conftest import fresh_url, nats_url, server_factory
from ..fleet.fleets import NODES
from .commands import Cli, cli_of

__all__ = ["fresh_url", "nats_url", "server_factory"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    settings = FleetSettings(data=tmp_path_factory.mktemp("steering"), port=0, partitions=2, nodes=(NODES,), log_level="error")
    with BackgroundFleet(settings) as one:
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("JETFLEET_NATS", whole.url)
    monkeypatch.setenv("COLUMNS", "200")
    return cli_of(capsys)
