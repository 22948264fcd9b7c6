"""Where a coordinator sends a task: near the bytes that it refers to, if somebody there takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator import locality
from jetfleet.broker.coordinator.locality import ANYWHERE, Locality
from jetfleet.broker.deployment import ensure
from jetfleet.broker.fleet.membership import COORDINATOR, WORKER, Membership
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Task
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import Completion
from jetfleet.schemas.ref import Ref
from jetfleet.workers.fleet.worker import Worker

from .fleets import NODES, Fleet, chain, fleet
from .running import run
from .test_near_data import host_of
from .trouble import until
from .worker_processes import worker

MIB = 1 << 20
TYPES = ["f.echo", "f.step"]


def ref(host: str, size_bytes: int, segment: str = "w-1", offset: int = 4_096) -> Ref:
    return Ref("bytes", size_bytes, 0, host=host, segment=segment, generation=1, offset=offset)


@asynccontextmanager
async def members(url: str, *facts: dict[str, Any]) -> AsyncIterator[tuple[Locality, list[Membership]]]:
    """A fleet of workers that say this of themselves, as a coordinator sees it."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await Connection.open(url, name="test"))
        workers = [Membership(connection, WORKER, facts=each) for each in facts]
        for one in [*workers, coordinator := Membership(connection, COORDINATOR)]:
            await one.start()
            stack.push_async_callback(one.stop)
        yield Locality(coordinator), workers


def serves(host: Any, *queues: str, types: Any = TYPES) -> dict[str, Any]:
    return {"arena": host, "queues": list(queues or ("default",)), "types": types}


@pytest.fixture
def deployed_url(fresh_url: str) -> str:
    async def deploy() -> None:
        async with await Connection.open(fresh_url, name="test") as connection:
            await ensure(connection)

    run(deploy())
    return fresh_url


def test_a_task_goes_where_most_of_its_bytes_lie(deployed_url: str) -> None:
    async def test() -> None:
        async with members(deployed_url, serves("alpha"), serves("beta")) as (found, _):
            value = encode({"a": ref("alpha", 2 * MIB), "b": [ref("beta", 2 * MIB), ref("beta", 2 * MIB, offset=1 << 30)]})
            assert found.near("default", "f.echo", value) == "beta"
            needs = (encode(ref("alpha", 5 * MIB, "w-2")), encode("nothing"))
            assert found.near("default", "f.echo", value, needs) == "alpha"

    run(test())


def test_an_entry_counts_once_in_a_payload_however_often_it_stands_there(deployed_url: str) -> None:
    async def test() -> None:
        async with members(deployed_url, serves("alpha"), serves("beta")) as (found, _):
            small = ref("alpha", 2 * MIB)
            value = encode({"parts": [small.at((n,)) for n in range(10)], "other": ref("beta", 3 * MIB)})
            assert found.near("default", "f.echo", value) == "beta"
            assert found.near("default", "f.echo", value, (encode(small), encode(small.at((1,))))) == "beta"

    run(test())


def test_the_next_best_host_is_taken_if_nobody_serves_the_best(deployed_url: str) -> None:
    async def test() -> None:
        async with members(deployed_url, serves("alpha"), serves("beta", "other"), serves("gamma", types=["f.else"])) as (found, _):
            value = encode([ref("gone", 9 * MIB), ref("beta", 8 * MIB), ref("gamma", 7 * MIB), ref("alpha", 6 * MIB)])
            assert found.near("default", "f.echo", value) == "alpha"
            assert found.near("other", "f.echo", value) == "beta"
            assert found.near("default", "f.else", value) == "gamma"
            assert found.near("nobody's", "f.echo", value) == ANYWHERE

    run(test())


def test_little_is_fetched_instead_of_waited_for(deployed_url: str) -> None:
    async def test() -> None:
        async with members(deployed_url, serves("alpha")) as (found, _):
            assert found.near("default", "f.echo", encode([ref("alpha", MIB - 1)])) == ANYWHERE
            assert found.near("default", "f.echo", encode([ref("alpha", MIB - 1), ref("alpha", 1, "w-2")])) == "alpha"
            assert found.near("default", "f.echo", encode([Ref("bytes", 9 * MIB, 0, digest="d" * 64)])) == ANYWHERE

    run(test())


def test_a_worker_that_left_is_not_chosen(deployed_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locality, "LOOK_AGAIN_S", 0.0)

    async def test() -> None:
        async with members(deployed_url, serves("alpha")) as (found, workers):
            value = encode(ref("alpha", 2 * MIB))
            assert found.near("default", "f.echo", value) == "alpha"
            await workers[0].stop()
            await until(lambda: found.near("default", "f.echo", value) == ANYWHERE, "the worker is gone")

    run(test())


def test_facts_of_another_form_are_left_out(deployed_url: str) -> None:
    async def test() -> None:
        odd = [serves(host) for host in ("a.b", "*", "", None, 7, "a b", "x" * 200)] + [serves("alpha", types={"f.echo": 1})]
        async with members(deployed_url, *odd, {"arena": "alpha"}, {}, serves("beta", types=["f.echo", [1], None])) as (found, _):
            for host in ("a.b", "*", "a b", "x" * 200, "alpha"):
                assert found.near("default", "f.echo", encode(ref(host, 2 * MIB))) == ANYWHERE
            assert found.near("default", "f.echo", encode(ref("beta", 2 * MIB))) == "beta"

    run(test())


def test_what_is_no_payload_goes_anywhere(deployed_url: str) -> None:
    async def test() -> None:
        async with members(deployed_url, serves("alpha")) as (found, _):
            assert found.near("default", "f.echo", b"\xc1\xc7\xc8 no payload") == ANYWHERE
            assert found.near("default", "f.echo", encode("no ref")) == ANYWHERE

    run(test())


async def waiting(one: Fleet) -> dict[str, int]:
    return await one.client.connection.streams.subjects(subjects.TASKS, "tasks.>")


async def given(one: Fleet, host: str) -> list[Task]:
    """The tasks of the queue that wait near that host, or near none."""
    stored = [each async for each in one.client.connection.streams.read(subjects.TASKS, subject=subjects.tasks("default", host))]
    return [messages.decode(Task, entry) for message in stored for entry in messages.split(message.data)]


async def send(one: Fleet, flow: str, value: Any) -> str:
    """An event whose payload has refs in it."""
    ack = await one.client.connection.publisher.publish(
        subjects.event(flow, "go"), encode(value), id=flow, headers={"Content-Type": "application/msgpack"}
    )
    assert ack.seq
    return subjects.run_id(flow, flow)


def test_a_coordinator_sends_tasks_to_the_host_of_their_refs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("near", "f.echo"), chain("far", "f.echo"), chain("plain", "f.echo"))
            there = Membership(one.client.connection, WORKER, facts=serves("alpha"))
            await there.start()
            coordinator = one.coordinators[0]
            await until(lambda: coordinator.membership.alive(there.id), "the coordinator sees the worker")
            await send(one, "near", {"big": ref("alpha", 10 * MIB)})
            await send(one, "far", {"big": ref("gone", 10 * MIB)})
            await send(one, "plain", {"n": 1})
            await one.log.until(lambda: len(one.log.begun) == 3, "three runs")
            await one.quiet()
            assert set(await waiting(one)) == {"tasks.default.alpha", "tasks.default"}
            assert len(await given(one, "")) == 2
            assert [each.run for each in await given(one, "alpha")] == [subjects.run_id("near", "near")]
            await there.stop()

    run(test())


async def executed_by(one: Fleet, id: str) -> str:
    """The worker that recorded the first attempt of the run's first node."""
    await one.log.until(lambda: bool(one.log.of(id, Completion)), f"a completion of {id}")
    return one.log.of(id, Completion)[0].worker


def in_arena(one: Worker, run: str) -> Ref:
    """Ten megabytes in the worker's arena."""
    assert one.plane.arena is not None
    return one.plane.arena.write("bytes", [bytes(10 * MIB)], run=run)


async def occupy(one: Fleet, busy: Worker, gate: Path) -> None:
    """Give the worker as much as it has room for, until there is the gate."""
    plan = one.client.flows.current("gated")
    assert plan is not None
    for number in range(4):
        task = Task(f"gated-{number}", (0,), 1, plan.digest, encode({"gate": str(gate)}))
        await one.client.connection.publisher.publish(subjects.tasks("default", host_of(busy)), messages.encode_all([task]))
    await until(lambda: busy._room() <= 0, "it has no room")


def test_a_task_with_ten_megabytes_is_executed_where_they_lie_or_elsewhere_if_nobody_there_can(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("near", "f.echo"), chain("busy", "f.echo"), chain("unserved", "f.echo"), chain("gated", "f.gated"))
            async with (
                worker(fresh_url, tmp_path / "a", nodes=NODES, concurrency=1) as alpha,
                worker(fresh_url, tmp_path / "b", nodes=NODES) as beta,
            ):
                await until(lambda: all(one.coordinators[0].membership.alive(each.id) for each in (alpha, beta)), "the workers are seen")
                near, busy, unserved = [{"big": in_arena(alpha, subjects.run_id(name, name))} for name in ("near", "busy", "unserved")]
                assert await executed_by(one, await send(one, "near", near)) == alpha.id
                await occupy(one, alpha, gate)
                assert await executed_by(one, await send(one, "busy", busy)) == beta.id
                gate.touch()
                await alpha.stop()
                async with worker(fresh_url, tmp_path / "a", nodes=NODES, queues=("other",)) as holder:
                    assert holder.host == alpha.host
                    assert await executed_by(one, await send(one, "unserved", unserved)) == beta.id
                    ends = await one.log.ended(*(subjects.run_id(name, name) for name in ("near", "busy", "unserved")))
                    assert {end.status for end in ends} == {"completed"}

    run(test())
