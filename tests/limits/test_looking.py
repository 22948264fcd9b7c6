"""Looking at limits: the client, the command line, the metrics and the doctor tell the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.cli import main

from ..fleet.running import run
from ..fleet.trouble import until
from .limited import limited, limited_fleet


def test_who_holds_a_limit_and_who_is_next_can_be_seen(fresh_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def command(*words: str) -> tuple[int, list[Any]]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["limits", *words, "-o", "json", "--nats", fresh_url])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    async def test() -> None:
        settings = {"concurrency": {"max": 1, "key": "${trigger.payload.key}"}, "priority": "${trigger.payload.urgent}"}
        async with limited_fleet(fresh_url, tmp_path) as one:
            await one.deploy(limited("orders", settings))
            holder = await one.send("orders", 0, "acme", held=True)
            await until(lambda: one.held("=flow:orders:acme") == 1, "held")
            plain = await one.send("orders", 1, "acme", held=True)
            await until(lambda: one.waiting("=flow:orders:acme") == 1, "one waits")
            urgent = await one.send("orders", 2, "acme", held=True, urgent=3)
            other = await one.send("orders", 0, "zoo", held=True)
            await until(lambda: one.waiting("=flow:orders:acme") == 2 and one.held("=flow:orders:zoo") == 1, "all there")

            listed = [(view.id, view.held, view.most, view.waiting) for view in await one.client.limits()]
            assert listed == [("=flow:orders:acme", 1, 1, 2), ("=flow:orders:zoo", 1, 1, 0)]
            view = await one.client.limit("=flow:orders:acme")
            assert view is not None
            assert ([slot.run for slot in view.holders], [slot.run for slot in view.line]) == ([holder], [urgent, plain])
            assert await one.client.limit("=flow:orders:nobody") is None
            blocked = (await one.client.look(plain)).blocked  # type: ignore[union-attr]
            assert blocked[0][:2] == ("run", "limit") and "=flow:orders:acme" in blocked[0][2]

            code, rows = await command("list", "=flow:orders:a")
            assert (code, rows) == (0, [{"limit": "=flow:orders:acme", "held": 1, "max": 1, "waiting": 2}])
            code, rows = await command("show", "=flow:orders:acme")
            assert [(row["place"], row["run"], row["priority"]) for row in rows] == [("holds", holder, 0), (1, urgent, 3), (2, plain, 0)]
            assert (await command("show", "=flow:orders:nobody"))[0] == 1
            counters = one.fleet.coordinators[0].counters
            assert (counters.slots_held(), counters.slots_waiting()) == ({"=flow:orders": 2}, {"=flow:orders": 2})

            await one.fleet.leave(one.fleet.coordinators[0])
            asked = asyncio.create_task(one.client.limits())  # nobody owns a partition, so there is no answer, and not an empty one
            await one.fleet.coordinator()
            assert [(view.id, view.held, view.most, view.waiting) for view in await asked] == listed
            one.release.touch()
            await one.log.ended(holder, plain, urgent, other)
            await until(lambda: all(not gate.entries for gate in one.gates().values()), "no slot is held")
            assert await one.client.limits() == []

    run(test())
