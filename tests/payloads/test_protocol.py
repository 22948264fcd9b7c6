"""A worker that knows nothing of jetfleet but the page about the protocol is given large values, reads them, and hands them on."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy
import pytest

from jetfleet.schemas.messages import Summary
from jetfleet.schemas.payload import decode

from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.raw_nats import RawNats
from ..fleet.raw_worker import RawWorker
from ..fleet.running import run
from ..fleet.test_protocol import QUEUE, blocking
from .bulk_nodes import bulk, checksum
from .hosts import MIB, host, is_right, start
from .raw_values import CODED, RawValues, fields

LENGTH = 3 * MIB + 8
"""Several chunks, the last one a short one."""


def made_near_and_read_far(type: str, end: dict[str, Any] | None = None, **blocks: Any) -> dict[str, Any]:
    """A worker of ours makes a value, a foreign one gets it, and perhaps one of ours once more."""
    nodes = {"make": {"type": "bulk.make", "queue": "a"}, "far": {"type": type, "queue": QUEUE}}
    return flow("bulk", nodes if end is None else nodes | {"end": end}, **blocks)


def at_work(nodes: Callable[[RawNats], dict[str, Any]]) -> Callable[[RawNats], None]:
    """One message of tasks, by nodes that may use the connection."""

    def work(nats: RawNats) -> None:
        worker = RawWorker(nats, QUEUE, nodes(nats))
        worker.work(worker.take())

    return work


async def ended(one: Fleet, url: str, nodes: Callable[[RawNats], dict[str, Any]], **event: Any) -> Summary:
    """The end of a run in which a foreign worker with these nodes takes part."""
    id = await start(one, length=LENGTH, **event)
    await blocking(url, at_work(nodes))
    (summary,) = await one.log.ended(id, deadline_s=40)
    return summary


def summing(keys: dict[str, bytes] | None = None) -> Callable[[RawNats], dict[str, Any]]:
    """A node that reads the bytes of the ref in its input; it also says where they were to be had."""

    def nodes(nats: RawNats) -> dict[str, Any]:
        def sum_up(value: dict[str, Any]) -> dict[str, Any]:
            ref = fields(value["data"])
            body = RawValues(nats, keys).body(value["data"])
            return {"sum": checksum(body), "codec": ref["codec"], "meta": ref["meta"].decode(), "stored": bool(ref["digest"])}

        return {"far.sum": sum_up}

    return nodes


@pytest.mark.parametrize("durability", ["host", "object-store"])
def test_a_foreign_worker_gets_the_bytes_of_a_ref_wherever_they_are(fresh_url: str, tmp_path: Path, durability: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(made_near_and_read_far("far.sum", payloads={"durability": durability}))
            with host(fresh_url, tmp_path / "a", "a"):
                summary = await ended(one, fresh_url, summing(), seed=3)
            assert is_right(summary, LENGTH, seed=3)
            told = decode(summary.output)
            assert (told["codec"], told["stored"]) == ("numpy", durability == "object-store")
            assert told["meta"] == f"('<f8', ({LENGTH // 8},), False)"

    run(test(), 60)


def test_a_foreign_worker_decrypts_what_left_the_host(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = secrets.token_bytes(32)
    monkeypatch.setenv("JETFLEET_PAYLOAD_KEY_MAIN", base64.b64encode(key).decode())

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(made_near_and_read_far("far.sum", payloads={"encryption": "main"}))
            with host(fresh_url, tmp_path / "a", "a"):
                assert is_right(await ended(one, fresh_url, summing({"main": key})), LENGTH)

    run(test(), 60)


def test_a_foreign_worker_that_reads_no_refs_hands_them_on(fresh_url: str, tmp_path: Path) -> None:
    flow = made_near_and_read_far("far.echo", {"type": "bulk.sum", "queue": "a"})

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(flow)
            with host(fresh_url, tmp_path / "a", "a"):
                assert is_right(await ended(one, fresh_url, lambda nats: {"far.echo": lambda value: value}), LENGTH)

    run(test(), 60)


def test_a_foreign_worker_reads_a_small_array_by_the_table_of_codecs(fresh_url: str, tmp_path: Path) -> None:
    def total(value: dict[str, Any]) -> dict[str, Any]:
        coded = value["data"]
        assert coded.code == CODED
        codec, meta, body, path, count = msgpack.unpackb(coded.data)
        (dtype,) = re.findall(r"^\('(.+?)',", meta.decode())
        return {"codec": codec, "path": path, "count": count, "values": numpy.frombuffer(body, dtype).tolist()}

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(made_near_and_read_far("far.total"))
            with host(fresh_url, tmp_path / "a", "a"):
                id = await start(one, length=24, seed=5)
                await blocking(fresh_url, at_work(lambda nats: {"far.total": total}))
                (summary,) = await one.log.ended(id, deadline_s=40)
            assert decode(summary.output) == {"codec": "numpy", "path": [], "count": 3, "values": bulk("float64", 24, 5).tolist()}

    run(test(), 60)
