"""The worlds outside of all adapters."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jetfleet.broker.triggers.cron.schedule import Times
from jetfleet.broker.triggers.cron.tick import Tick, milliseconds
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.flow.triggers.cron import CronParams
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted
from jetfleet.triggers import inject
from jetfleet.triggers.webhook.source import WebhookSource

from ..webhook.calling import post
from .outside import Outside, Refused, refusing


class Calls(Outside):
    """Calls of a program: `memory` and `manual`."""

    tells = True

    def params(self) -> dict[str, Any]:
        return {}

    async def happen(self, number: int) -> None:
        assert self.triggers is not None
        with refusing():
            fate = await inject(self.triggers, "first", "in", {"n": number}, key=f"call-{number}")
            for error in fate.refused.values():
                raise error

    async def happen_all(self, numbers: Any) -> None:
        await asyncio.gather(*(self.happen(number) for number in numbers))

    again = happen


class Memory(Calls):
    type: ClassVar[str] = "memory"


class Manual(Calls):
    type: ClassVar[str] = "manual"


class Requests(Outside):
    """Requests over HTTP."""

    type: ClassVar[str] = "webhook"
    tells: ClassVar[bool] = True
    waits: ClassVar[bool] = False

    def params(self) -> dict[str, Any]:
        return {"path": "/orders"}

    async def happen(self, number: int) -> None:
        assert self.triggers is not None
        with refusing():
            source = await self.triggers.source("first", "in")
            assert isinstance(source, WebhookSource)
            answer = await post(await source.listening(), "/orders", {"n": number}, [("Idempotency-Key", f"order-{number}")])
        if answer.status != HTTPStatus.ACCEPTED:
            raise Refused(f"{answer.code}: {answer.value['error']['message']}")

    again = happen


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


class Ticks(Outside):
    """Times that the server's clock reached. Its schedule is for far away; the ticks come from here, as the server would send them."""

    type: ClassVar[str] = "cron"

    def params(self) -> dict[str, Any]:
        return {"schedule": "0 0 1 1 *"}

    async def happen(self, number: int) -> None:
        at = milliseconds(datetime(2000 + number, 1, 1, tzinfo=UTC))
        tick = Tick(at, Times(CronParams.model_validate(self.params())).identity, until=at)
        await self.client.connection.publisher.publish(subjects.tick("first", "in"), messages.encode(tick))

    again = happen

    def narrow(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"scheduled_at": {"pattern": "^200[0-5]"}}}

    def number(self, started: RunStarted) -> int:
        return int(decode(started.payload)["scheduled_at"][:4]) - 2000


class Files(Outside):
    """Files that come into a folder."""

    type: ClassVar[str] = "filesystem"

    async def open(self) -> None:
        self._place().mkdir()

    def params(self) -> dict[str, Any]:
        return {"path": str(self._place()), "content": "json", "settle_ms": 20}

    async def happen(self, number: int) -> None:
        half = self._place() / ".half"
        half.write_text(json.dumps({"n": number}))
        half.rename(self._place() / f"{number}.json")

    async def again(self, number: int) -> None:
        """Somebody looks after its permissions: it is the same file."""
        (self._place() / f"{number}.json").chmod(0o640)

    def narrow(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"content": super().narrow()}}

    def number(self, started: RunStarted) -> int:
        return int(decode(started.payload)["content"]["n"])

    def _place(self) -> Path:
        return self.folder / "files"


class Records(Outside):
    """Records of a topic."""

    type: ClassVar[str] = "kafka"

    async def open(self) -> None:
        for library in ("aiokafka", "confluent_kafka"):
            pytest.importorskip(library, reason="pip install 'jetfleet[dev]'")
        from aiokafka import AIOKafkaProducer

        from ..kafka.mock_cluster import MockKafka

        self._cluster = MockKafka(partitions=2)
        self._cluster.create_topic("orders")
        self._producer = AIOKafkaProducer(bootstrap_servers=self._cluster.brokers)
        await self._producer.start()

    async def close(self) -> None:
        await self._producer.stop()
        self._cluster.close()

    def params(self) -> dict[str, Any]:
        often = {"session_timeout_ms": 1_000, "commit_interval_ms": 50, "fetch_max_wait_ms": 20}
        return {"brokers": self._cluster.brokers, "group_id": "shop", "topic": "orders", **often}

    async def happen(self, number: int) -> None:
        await self._producer.send_and_wait("orders", json.dumps({"n": number}).encode(), partition=number % 2)


WORLDS: tuple[type[Outside], ...] = (Memory, Manual, Requests, NamedQueue, Subjects, Ticks, Files, Records)
