"""Running the coroutine of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")


def run(coroutine: Coroutine[Any, Any, Value], timeout_s: float = 30) -> Value:
    """What `asyncio.run` gives, or TimeoutError: a test that waits for something that never comes must not hang."""

    async def bounded() -> Value:
        async with asyncio.timeout(timeout_s):
            return await coroutine

    return asyncio.run(bounded())
