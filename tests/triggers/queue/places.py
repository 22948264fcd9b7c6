"""Flows that listen to queues and subjects, and what is asked about them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from jetfleet.broker.client import Connection
from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ...fleet.fleets import Fleet


def listening(name: str, params: Mapping[str, Any], **blocks: Any) -> dict[str, Any]:
    """A flow with one queue trigger, `in`."""
    trigger = {"id": "in", "type": "queue", "params": dict(params)}
    return {"name": name, "triggers": [trigger], "nodes": {"seen": {"type": "f.echo"}}, "edges": [{"from": "in", "to": "seen"}]} | blocks


def run_of(flow: str, id: str) -> str:
    """The run of a message with this id."""
    return subjects.run_id(flow, f"in/{id}")


def run_on(flow: str, subject: str, id: str) -> str:
    """The run of a message on a subject."""
    return run_of(flow, f"{subject} {id}")


def start(one: Fleet, run: str) -> RunStarted:
    return one.log.of(run, RunStarted)[0]


def payload(one: Fleet, run: str) -> Any:
    return decode(start(one, run).payload)


def meta(one: Fleet, run: str) -> Any:
    return decode(start(one, run).meta)


async def raw(connection: Connection, subject: str, data: bytes, id: str, **headers: str) -> None:
    """A message as a program in another language publishes it."""
    await connection.publisher.publish(subject, data, id=id, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def there(connection: Connection, stream: str) -> None:
    """Wait until somebody has made the stream."""
    async with asyncio.timeout(15):
        while await connection.streams.stream_info(stream) is None:
            await asyncio.sleep(0.01)
