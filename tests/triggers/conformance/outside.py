"""The world outside of an adapter, as the conformance suite moves it: numbered things happen, and each must become one run.

An adapter joins the suite by a class of this kind in `worlds.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from jetfleet.broker.api import Client
from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted
from jetfleet.triggers import Triggers


class Refused(Exception):
    """Who made it happen was told that no run comes of it, with the reason."""


class Outside(ABC):
    """`type`: of the trigger. `tells`: whether who makes something happen is told what comes of it (else it is in the dead letters).

    `waits`: whether what happens while the trigger is paused waits outside (else it is turned away, by `Refused`).
    """

    type: ClassVar[str]
    tells: ClassVar[bool] = False
    waits: ClassVar[bool] = True

    def __init__(self, folder: Path, client: Client) -> None:
        self.folder, self.client = folder, client
        self.triggers: Triggers | None = None

    async def open(self) -> None:  # noqa: B027
        """Make what the trigger listens to."""

    async def close(self) -> None:  # noqa: B027
        """Take it away again."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Of the trigger that listens to it."""

    @abstractmethod
    async def happen(self, number: int) -> None:
        """Make one thing happen; where `tells`, return when its event is said to be on disk. Raises Refused."""

    async def happen_all(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            await self.happen(number)

    async def again(self, number: int) -> None:  # noqa: B027
        """The same thing once more, where the world outside can do that."""

    def narrow(self) -> dict[str, Any]:
        """A schema of inputs that refuses things with numbers above 5."""
        return {"type": "object", "properties": {"n": {"maximum": 5}}}

    def number(self, started: RunStarted) -> int:
        """Which of the things a run was started by."""
        payload = decode(started.payload)
        return int(payload["n"])


@contextmanager
def refusing() -> Iterator[None]:
    """Every way of being told that no run comes of it is one: Refused."""
    try:
        yield
    except JetfleetError as error:
        raise Refused(f"{error.code}: {error}") from error
    except OSError as error:
        raise Refused(f"nobody listens: {error!r}") from error
