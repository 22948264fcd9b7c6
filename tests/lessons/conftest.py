"""The stages of the lessons: all lives are played side by side, once for each way in which the fleet is killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.conftest import MEMORY, in_memory, start_server
from .killing import ANY_MOMENT, COORDINATOR, NOTHING, WORKER_TOO, Stage, stories


@pytest.fixture(
    scope="session",
    params=[NOTHING, pytest.param(COORDINATOR, marks=pytest.mark.soak), WORKER_TOO, pytest.param(ANY_MOMENT, marks=pytest.mark.soak)],
)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Everything that the tests of this session tell has happened on it."""
    with tempfile.TemporaryDirectory("-lessons", dir=MEMORY if in_memory() else None) as data:
        server = start_server(Path(data))
        try:
            one = Stage(server.url, tmp_path_factory.mktemp("lessons"), request.param)
            one.play(stories(request.session.items))
            yield one
        finally:
            server.stop()
