"""Two whole fleets for all tests of a file: runs are carried from `whole` to `other`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.workers.up.fleet import FleetSettings

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES
from ..steering.commands import Cli, cli_of

VALUES = str(Path(NODES).with_name("value_nodes.py"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    with started(tmp_path_factory.mktemp("study")) as one:
        yield one


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    """A fleet on another server, where nothing is deployed."""
    with started(tmp_path_factory.mktemp("other")) as one:
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands to `whole`, unless they say `--nats`."""
    monkeypatch.setenv("JETFLEET_NATS", whole.url)
    monkeypatch.setenv("COLUMNS", "200")
    return cli_of(capsys)


def started(folder: Path) -> BackgroundFleet:
    return BackgroundFleet(FleetSettings(data=folder, port=0, partitions=2, nodes=(NODES, VALUES), log_level="error"))
