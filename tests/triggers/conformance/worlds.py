"""The worlds outside of all adapters."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from jetfleet.triggers import inject

from .outside import Outside, reason


class Calls(Outside):
    """Calls of a program: `memory` and `manual`."""

    tells = True

    def params(self) -> dict[str, Any]:
        return {}

    async def happen(self, number: int) -> None:
        assert self.triggers is not None
        fate = await inject(self.triggers, "first", "in", {"n": number}, key=f"call-{number}")
        for error in fate.refused.values():
            raise reason(error)

    async def happen_all(self, numbers: Any) -> None:
        await asyncio.gather(*(self.happen(number) for number in numbers))

    again = happen


class Memory(Calls):
    type: ClassVar[str] = "memory"


class Manual(Calls):
    type: ClassVar[str] = "manual"


class NamedQueue(Outside):
    """Messages that are sent to a queue."""

    type: ClassVar[str] = "queue"

    def params(self) -> dict[str, Any]:
        return {"name": "orders"}

    async def happen(self, number: int) -> None:
        await self.client.queue("orders").send({"n": number}, id=f"order-{number}")

    again = happen


class Subjects(NamedQueue):
    """Messages on subjects that a flow listens to."""

    def params(self) -> dict[str, Any]:
        return {"subjects": ["shop.*.created"]}

    async def happen(self, number: int) -> None:
        await self.client.publish(f"shop.{number}.created", {"n": number}, id=f"order-{number}")

    again = happen


WORLDS: tuple[type[Outside], ...] = (Memory, Manual, NamedQueue, Subjects)
