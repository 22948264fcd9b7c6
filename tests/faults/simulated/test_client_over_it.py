"""What the client's tests show with a real server, they show with the simulated one, which nobody told that it is tested.

Left out are those that are about processes, sockets and files: opening, credentials, bytes that no client would write.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from ...client import test_batcher, test_connection, test_group, test_publisher, test_pull, test_streams, test_tail
from ...client.servers import Names
from .stand import Stand, StandProxy, VirtualTime

MODULES = (test_batcher, test_connection, test_group, test_publisher, test_pull, test_streams, test_tail)
OF_ITS_OWN = ("tmp_path", "open_connection", "max_payload")
"""What these tests need, a simulated server has not."""
Case = tuple[Callable[..., None], dict[str, Any]]


def cases() -> Iterator[Any]:
    for module in MODULES:
        for name, test in vars(module).items():
            if name.startswith("test_") and inspect.isfunction(test) and not any(word in inspect.getsource(test) for word in OF_ITS_OWN):
                for values in _values(test):
                    yield pytest.param(test, values, id=f"{module.__name__.rpartition('.')[2]}-{name[5:]}{_shown(values)}")


def _values(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """What the test is parametrized with: each combination once."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for chosen in product(*(mark.args[1] for mark in marks)):
        yield {mark.args[0]: value for mark, value in zip(marks, chosen, strict=True)}


def _shown(values: dict[str, Any]) -> str:
    return "".join(f"-{value}" for value in values.values())


@pytest.fixture
def virtual_time() -> Iterator[None]:
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(VirtualTime())
    yield
    asyncio.set_event_loop_policy(policy)


@pytest.mark.parametrize(("test", "values"), list(cases()))
def test_over_the_simulated_server(
    test: Callable[..., None], values: dict[str, Any], virtual_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand()
    given = {"shared": stand, "server": stand, "names": Names(), "monkeypatch": monkeypatch, **values}
    wanted = {name: given[name] for name in inspect.signature(test).parameters}
    monkeypatch.setattr("jetfleet.broker.client.connection.Wire", stand.wire)
    monkeypatch.setattr(inspect.getmodule(test), "Proxy", StandProxy, raising=False)
    with structlog.testing.capture_logs(), patch("tests.client.servers.DEADLINE_S", 10_000):
        test(**wanted)
