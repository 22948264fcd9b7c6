"""The hash chain goes on through snapshots and take-overs: whoever archives a record comes to the same value behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.coordinator import owner
from jetfleet.schemas.chain import chain
from jetfleet.schemas.codec import encode_record

from ..fleet.conftest import fresh_url, nats_url, server_factory
from ..fleet.fleets import chain as in_a_row
from ..fleet.fleets import fleet, flow
from ..fleet.running import run

__all__ = ["fresh_url", "nats_url", "server_factory"]

SIGNALS = ("one", "two", "three")
WAITS = flow("waits", {name: {"type": "std::wait", "config": {"signal": name}} for name in SIGNALS})


def test_the_chain_goes_on_with_the_next_owner(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.02)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(WAITS, in_a_row("short"))
            id, short = await one.client.send("waits", id="k"), await one.client.send("short", {}, id="k")
            await one.log.until(lambda: one.log.parts.get(id) is not None, "its first part")
            await one.crash(one.coordinators[0])
            await one.coordinator()
            await one.client.signal(id, "one")
            await one.log.until(lambda: len(one.log.journal(id)) == 2, "the part of another owner")
            await one.leave(one.coordinators[0])
            await one.coordinator()
            for name in SIGNALS[1:]:
                await one.client.signal(id, name)
            await one.log.ended(id, short)
            for each in (id, short):
                records = [encode_record(record) for record in one.log.journal(each)]
                assert chain(each, records) in [part.chain for part in one.log.parts[each]]
                for part in one.log.parts[each]:
                    assert part.chain == chain(each, records[: part.first + len(part.records)])
            assert len(one.log.parts[id]) > 2

    run(test())
