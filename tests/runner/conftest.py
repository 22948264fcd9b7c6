"""Tests of the runner are coroutines, each in an event loop of its own, and each has a registry of its own for its nodes."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from jetfleet.workers import Registry

HANGS_AFTER_S = 60
"""Only for tests that would otherwise hang for ever; no test takes anywhere near as long."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), HANGS_AFTER_S))
    return True


@pytest.fixture
def registry() -> Registry:
    return Registry()
