"""What parents and children have to do with each other: they run at once, fail, are tried again, time out, are paused, keep their version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import CancelRequested, ChildEnded, Completion, RunStarted

from ..fleet.fleets import Fleet, chain, fleet, flow
from ..fleet.running import run
from .families import EACH, LEAF, MIDDLE, TOP, begun, call, children

PARTITIONS = 4
NO_GATE = "/nowhere/gate"
RETRIED = {"max_attempts": 3, "initial_delay_ms": 1, "jitter": False}


def without_end(name: str, node: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """A parent whose child waits for ever."""
    return flow(name, {"call": call("leaf") | (node or {})}, settings=settings)


def test_children_of_a_split_run_at_the_same_time_and_their_outputs_come_in_the_order_of_the_items(fresh_url: str, tmp_path: Path) -> None:
    """Each child ends only if all of them are at work at once."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.deploy(chain("meeting", "f.meet"), EACH | {"nodes": EACH["nodes"] | {"call": call("meeting")}})
            items = [{"place": str(tmp_path / "place"), "count": 3, "n": n} for n in range(3)]
            id = await one.client.send("each", {"items": items})
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and [item["n"] for item in decode(summary.output)] == [0, 1, 2]
            assert children(one, id) == [f"{id}.call[{n}]" for n in range(3)]

    run(test())


def test_an_error_keeps_its_type_on_its_way_up_and_each_attempt_has_a_child_of_its_own(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            picky = chain("leaf", "f.picky")
            upper = flow("upper", {"call": call("middle") | {"retry": RETRIED}})
            caught = flow("caught", {"call": call("leaf"), "after": {"type": "f.echo"}}, ["call.error -> after"])
            await one.deploy(picky, MIDDLE, upper, caught)
            failed = await one.client.send("upper", {"fails": 9})
            handled = await one.client.send("caught", {"fails": 9})
            first, second = await one.log.ended(failed, handled)
            assert first.status == "failed" and first.error is not None and first.error.type == "picky"
            assert children(one, failed) == [f"{failed}.call", f"{failed}.call.2", f"{failed}.call.3"]
            ended = [record for record in one.log.journal(failed) if isinstance(record, ChildEnded)]
            assert [(record.attempt, record.error.type) for record in ended if record.error] == [(1, "picky"), (2, "picky"), (3, "picky")]
            assert second.status == "completed" and decode(second.output)["after"]["type"] == "picky"

    run(test())


async def check_called_off(one: Fleet, id: str, error: str, *, kill: bool = False) -> None:
    """The run has failed or ended so, and its child was stopped."""
    parent, child = await one.log.ended(id, f"{id}.call")
    assert parent.error is not None and parent.error.type == error
    assert child.status == ("killed" if kill else "cancelled")
    assert [record.kill for record in one.log.of(f"{id}.call", CancelRequested)] == [kill]


def test_whatever_ends_a_parent_stops_its_children(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            late = chain("leaf", "f.gated", settings={"execution_timeout_ms": 200})
            await one.deploy(
                LEAF, MIDDLE, TOP, without_end("node-timeout", {"timeout_ms": 200}), without_end("run-timeout", execution_timeout_ms=200),
                without_end("expired", ttl="200ms"), without_end("plain"),
            )  # fmt: skip
            value = {"gate": NO_GATE}
            for name, error in (("node-timeout", "timeout"), ("run-timeout", "timeout"), ("expired", "expired")):
                await check_called_off(one, await one.client.send(name, value), error)
            killed, top = await one.client.send("plain", value), await one.client.send("top", value)
            await begun(one, f"{killed}.call", f"{top}.call.call")
            await asyncio.gather(one.client.kill(killed), one.client.cancel(top, "enough"))
            await check_called_off(one, killed, "killed", kill=True)
            assert {summary.status for summary in await one.log.ended(top, f"{top}.call", f"{top}.call.call")} == {"cancelled"}
            await one.deploy(late)
            parent, child = await one.log.ended(*[id := await one.client.send("plain", value), f"{id}.call"])
            assert [summary.error and summary.error.type for summary in (parent, child)] == ["timeout", "timeout"]

    run(test())


def test_children_of_a_paused_parent_go_on_and_it_takes_up_their_results_when_it_is_resumed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.deploy(LEAF, flow("parent", {"call": call("leaf"), "after": {"type": "f.echo"}}))
            id = await one.client.send("parent", {"gate": str(gate)})
            await begun(one, f"{id}.call")
            await one.client.pause(id)
            gate.touch()
            await one.log.ended(f"{id}.call")
            await one.log.until(lambda: bool(one.log.of(id, ChildEnded)), "that the parent is told")
            await one.quiet()
            assert one.log.summary(id) is None and not one.log.of(id, Completion)
            await one.client.resume(id)
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and decode(summary.output) == {"gate": str(gate)}

    run(test())


def test_a_sub_flow_begins_in_the_version_that_is_asked_for_and_ends_in_the_one_it_began_with(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            old, new = chain("leaf", "f.gated", version="1.0"), chain("leaf", "f.gated", "f.echo", version="2.0")
            await one.deploy(
                old, flow("pinned", {"call": call("leaf", version="1.0")}), flow("free", {"call": call("leaf")}),
                flow("wrong", {"call": call("leaf", version="3.0")}),
            )  # fmt: skip
            early = await one.client.send("free", {"gate": str(gate)})
            await begun(one, f"{early}.call")
            await one.deploy(new)
            gate.touch()
            late, pinned, wrong = [await one.client.send(name, {"gate": str(gate)}) for name in ("free", "pinned", "wrong")]
            await one.log.ended(early, late, pinned, wrong)
            versions = {id: one.log.summary(f"{id}.call") for id in (early, late, pinned)}
            assert [summary.version for summary in versions.values() if summary] == ["1.0", "2.0", "1.0"]
            error = one.log.summary(wrong).error  # type: ignore[union-attr]
            assert error is not None and error.type == "unknown_flow" and "1.0, 2.0" in error.message
            assert not one.log.of(f"{wrong}.call", RunStarted)

    run(test())
