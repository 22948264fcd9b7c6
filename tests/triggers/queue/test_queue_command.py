"""The command line of queues."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from jetfleet.broker.queues import ensure_queue
from jetfleet.schemas.cli import FAILED, USAGE, main

from ...fleet.fleets import fleet
from ...fleet.running import run
from .places import listening, meta, run_of, run_on, there


def test_messages_are_sent_listed_and_deleted(fresh_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def queue(*words: str) -> int:
        return main(["queue", *words, "--nats", fresh_url])

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders"}), listening("audit", {"subjects": "shop.>"}))
            await there(one.client.connection, "INBOX")
            words = ("send", "orders", '{"n": 1}', "--id", "o-1", "--key", "c-3", "--header", "Source=till")
            assert await asyncio.to_thread(queue, *words) == 0
            await one.log.ended(run_of("shop", "o-1"))
            about = meta(one, run_of("shop", "o-1"))
            assert (about["key"], about["headers"]["Source"]) == ("c-3", "till")
            assert await asyncio.to_thread(queue, "send", "on.shop.eu.created", "7", "--id", "s-1") == 0
            await one.log.ended(run_on("audit", "shop.eu.created", "s-1"))
            assert await asyncio.to_thread(queue, "send", "on.bank.opened") == FAILED
            capsys.readouterr()
            assert await asyncio.to_thread(queue, "send", "ordrs", "1") == 0
            said = capsys.readouterr().err
            assert "no deployed flow listens to queue 'ordrs' (did you mean 'orders'?)" in said
            assert await asyncio.to_thread(queue, "send", "orders", "1") == 0
            assert "note" not in capsys.readouterr().err
            await one.client.queue("idle").send(1)
            capsys.readouterr()
            assert await asyncio.to_thread(queue, "list", "-o", "json") == 0
            told = [
                line for line in capsys.readouterr().out.splitlines() if line.startswith("{")
            ]  # besides: what the fleet of this process logs
            rows = {row["queue"]: row for row in map(json.loads, told)}
            assert rows["idle"] == {"queue": "idle", "waiting": 1, "capacity": 100, "flows": ""}
            assert rows["orders"]["flows"] == "shop.in" and rows["orders"]["waiting"] == 0
            await one.client.queue("tiny").send(1)
            await ensure_queue(one.client.connection, "tiny", 1)
            assert await asyncio.to_thread(queue, "send", "tiny", "2") == FAILED
            assert "QUEUE_FULL" in capsys.readouterr().err
            await asyncio.to_thread(main, ["doctor", "--nats", fresh_url, "--data", str(tmp_path), "-o", "json"])
            assert "queue tiny is full" in capsys.readouterr().out
            assert [await asyncio.to_thread(queue, "delete", "idle") for _ in range(2)] == [0, USAGE]

    run(test())
