"""A minute of a fleet's life with a bit of everything that is stored: runs that end, fail, wait, are answered, steered, retried and forked;
limits, collectors, sub-flows, a split; far timers; a coordinator that leaves and one that takes over; events and records that are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.read_model.reader import Reader
from jetfleet.schemas import subjects

from ..fleet.fleets import Fleet, chain, flow


@asynccontextmanager
async def reading(one: Fleet, folder: Path) -> AsyncIterator[None]:
    """With a reader: who retries or forks a run finds its journal by the read model."""
    reader = Reader(one.client.connection, one.client.partitions, folder / "reader")
    await reader.start()
    try:
        yield
    finally:
        await reader.stop()


async def live(one: Fleet) -> None:
    await _ordinary(one)
    await _steered(one)
    await _gathered(one)
    await _refused(one)
    await _handed_over(one)


async def _ordinary(one: Fleet) -> None:
    retry = {"max_attempts": 2, "initial_delay_ms": 10}
    split = {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": 2}}
    await one.deploy(
        chain("orders"),
        flow("flaky", {"a": {"type": "f.picky", "retry": retry}}),
        flow("items", {"each": split, "item": {"type": "f.echo"}, "last": {"type": "f.echo"}}, ["each.item -> item", "each.done -> last"]),
        flow("parent", {"child": {"type": "std::subflow", "config": {"flow": "orders"}}}),
        flow("later", {"pause": {"type": "std::delay", "config": {"duration_ms": 30}}, "a": {"type": "f.echo"}}),
        chain("narrow", "f.echo", settings={"concurrency": {"max": 1}}),
    )
    runs = await asyncio.gather(*one.ids("orders", 5), *one.ids("narrow", 3))
    runs += [
        await one.client.send("flaky", {"fails": 1}), await one.client.send("items", {"items": [1, "two", None]}),
        await one.client.send("parent", {"n": 1}), await one.client.send("later", {}),
    ]  # fmt: skip
    await one.log.ended(*runs)


async def _steered(one: Fleet) -> None:
    wait = {"type": "std::wait", "config": {"signal": "go"}}
    approval = {"type": "std::wait", "config": {"hook_id": "boss"}}
    event = {"type": "std::wait", "config": {"event": "paid"}}
    await one.deploy(
        flow("signalled", {"wait": wait, "a": {"type": "f.echo"}}),
        flow("approved", {"ask": approval, "a": {"type": "f.echo"}}),
        flow("paid", {"wait": event, "a": {"type": "f.echo"}}),
        flow("failing", {"a": {"type": "f.echo"}, "b": {"type": "f.picky"}}),
    )
    signalled, cancelled = await one.client.send("signalled", 1), await one.client.send("signalled", 2)
    approved, paid = await one.client.send("approved", {"n": 1}), await one.client.send("paid", {"n": 1})
    failing = await one.client.send("failing", {"fails": 1})
    await _waiting(one, signalled, cancelled, approved, paid)
    await one.client.pause(signalled)
    await one.client.resume(signalled)
    await one.client.signal(signalled, "go", {"by": "me"}, id="s1")
    await one.client.cancel(cancelled, "nobody wants it")
    await one.client.signal(approved, "boss", {"decision": "approve"})
    await one.client.event("paid", {"order": 7})
    await one.log.ended(signalled, cancelled, approved, paid, failing)
    await _reopened(one, failing)


async def _waiting(one: Fleet, *runs: str) -> None:
    await one.log.until(lambda: set(runs) <= one.log.begun, "runs that have begun")
    await one.quiet()


async def _reopened(one: Fleet, failed: str) -> None:
    """A retry and a fork, once the reader has the journal."""
    await _listed(one, failed)
    retried = await one.client.retry(failed, reason="once more")
    await retried.result(timeout_s=10)
    forked = await one.client.fork(failed, "b", id="fork")
    await forked.result(timeout_s=10)


async def _listed(one: Fleet, run: str) -> None:
    async with asyncio.timeout(10):
        while run not in [row.id for row in (await one.client.runs("status=failed")).rows]:
            await asyncio.sleep(0.02)


async def _gathered(one: Fleet) -> None:
    await one.deploy(
        chain("soon", "f.echo", settings={"debounce": {"quiet": "100ms"}}),
        chain("full", "f.echo", settings={"batch": {"max": 3, "within": "1h"}}),
    )
    await asyncio.gather(*one.ids("soon", 3), *one.ids("full", 4))
    await one.log.until(lambda: {"soon", "full"} <= {record.flow for record in _starts(one)}, "runs of what was gathered")


def _starts(one: Fleet) -> list[Any]:
    return [records[0] for records in one.log.records.values() if hasattr(records[0], "flow") and hasattr(records[0], "digest")]


async def _refused(one: Fleet) -> None:
    publish = one.client.connection.publisher.publish
    await publish("events.orders.go", b"{no json", headers={"Nats-Msg-Id": "bad"})
    await publish("events.orders.nobody", b"{}", headers={"Nats-Msg-Id": "stranger"})
    await publish(subjects.wal(0), b"\xc1 no record")
    await publish("signals.nobody.go", b"\xff\xfe")
    await one.log.until(lambda: len(one.log.letters) >= 3, "dead letters")


async def _handed_over(one: Fleet) -> None:
    """Runs that wait for long, for a time or for a slot: their timers go to the server when a snapshot is written."""
    hour = {"type": "std::delay", "config": {"duration_ms": 3_600_000}}
    await one.deploy(flow("patient", {"pause": hour, "a": {"type": "f.echo"}}, settings={"concurrency": {"max": 1}}))
    runs = [await one.client.send("patient", {"n": n}) for n in range(2)]  # one has the slot, one is queued
    await _waiting(one, *runs, await one.client.send("signalled", {"n": 3}))
    await one.leave(one.coordinators[0])
    await one.coordinator()
    await one.log.ended(*[await one.client.send("orders", {"n": n}) for n in range(3)])
