"""A paused flow starts nothing and loses nothing, whoever dies meanwhile; with its runs it holds those as well."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jetfleet.broker.cli import checks
from jetfleet.broker.cli.checkup import examine
from jetfleet.broker.coordinator.coordinator import Coordinator
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_batch
from jetfleet.schemas.messages import PAUSED, RUNNING
from jetfleet.schemas.records import Completion, PauseRequested, ResumeRequested

from ..fleet.conftest import ServerFactory
from ..fleet.fleets import Fleet, chain, coordinator_process, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import restarted, until

WAITS = {"wait": {"type": "std::wait", "config": {"signal": "go"}}, "after": {"type": "f.echo"}}


async def stored_events(one: Fleet, name: str) -> int:
    found = await one.client.connection.streams.subjects(subjects.EVENTS, subjects.event(name, ">"))
    return sum(found.values())


async def open_runs(one: Fleet, name: str, count: int) -> None:
    async with asyncio.timeout(15):
        while (await one.client.flow(name)).open != count:
            await asyncio.sleep(0.05)


def test_a_paused_flow_starts_nothing_and_loses_nothing_through_a_kill_9_of_a_coordinator(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=4) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await until(lambda: len(one.coordinators[0].owners) == 2, "two coordinators")
                await one.deploy(chain("orders"), chain("others"))
                before = list(await asyncio.gather(*one.ids("orders", 300)))
                view = await one.client.pause_flow("orders", "the shop is being moved")
                assert (view.state, view.reason, view.followed) == (PAUSED, "the shop is being moved", True)
                await one.quiet()
                begun = set(one.log.begun)  # what was admitted goes on
                after = [await one.client.send("orders", {"n": n}, id=f"later{n}") for n in range(50)]
                other.kill()
                await one.log.ended(await one.client.send("others", 1))
                await until(lambda: len(one.coordinators[0].owners) == 4, "the partitions of the dead one")
                await one.quiet()
                assert {id for id in one.log.begun if id.startswith("orders-")} == {id for id in begun if id.startswith("orders-")}
                await one.deploy(chain("orders", "f.echo"))
                assert (await one.client.flow("orders")).state == PAUSED, "a deployment resumes nothing"
                assert await stored_events(one, "orders") > 0
                await one.client.resume_flow("orders")
                await one.log.ended(*before, *after)
                executed = {id: len(one.log.of(id, Completion)) for id in before + after}
                assert executed == {id: 3 if id in begun else 1 for id in before + after}, "each of them once, with one version"

    run(test(), 60)


def test_a_pause_outlives_a_restart_of_the_server_and_of_the_coordinators(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path) as one:
            await one.deploy(chain("orders"))
            assert (await one.client.pause_flow("orders")).followed
            handle = await one.client.start("orders", {"n": 1})
            assert "paused" in handle.held and "jetfleet flow resume orders" in handle.held
            await restarted(server)
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await one.coordinator()
            await one.quiet()
            assert not one.log.begun
            view = await one.client.flow("orders")
            assert (view.condition, view.waiting, view.open) == (PAUSED, 1, 0)
            says = [finding.says for finding in checks.flows(await examine(one.client, tmp_path))]
            assert one.coordinators[0].counters.admission_closed() == {("orders", PAUSED): 1.0}
            assert says[1].startswith("orders is paused, and 1 message of events waits; `jetfleet flow resume orders`")
            assert (await one.client.resume_flow("orders")).condition == RUNNING
            assert (await handle.result(15)).completed

    run(test(), 60)


def test_deciding_what_is_so_already_changes_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await one.deploy(chain("orders"))
            first = await one.client.pause_flow("orders", "why")
            assert await one.client.pause_flow("orders", "again") == first
            await one.client.resume_flow("orders")
            seq = one.client.flows.state_seq("orders")
            await one.client.resume_flow("orders")
            assert one.client.flows.state_seq("orders") == seq

    run(test())


def test_with_its_runs_a_flow_holds_all_of_them_and_lets_go_only_of_those(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(flow("orders", WAITS), flow("others", WAITS))
            runs = list(await asyncio.gather(*one.ids("orders", 40)))
            (other,) = await asyncio.gather(*one.ids("others", 1))
            await open_runs(one, "orders", 40)
            await one.client.pause(runs[0], "by itself")
            await one.client.pause_flow("orders", "stop all", runs=True)
            await until(lambda: all(paused(one, id) for id in runs), "all runs to be paused")
            assert not paused(one, other)
            for id in [*runs, other]:
                await one.client.signal(id, "go")
            await one.log.ended(other)
            dead = one.coordinators[0]
            await crash_and_wait(one, dead)
            await one.quiet()
            assert not any(one.log.of(id, Completion) for id in runs), "nothing goes on, also after a take-over"
            await one.client.resume_flow("orders")
            summaries = await one.log.ended(*runs[1:])
            assert {summary.status for summary in summaries} == {"completed"}
            assert paused(one, runs[0]), "somebody has paused it by itself"
            await one.client.resume(runs[0])
            await one.log.ended(runs[0])
            kinds = [type(record) for record in one.log.journal(runs[5])]
            assert (kinds.count(PauseRequested), kinds.count(ResumeRequested)) == (1, 1)

    run(test(), 60)


def test_a_run_that_somebody_resumes_alone_is_held_again_as_long_as_its_flow_is(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", WAITS))
            id = await one.client.send("orders", 1)
            await open_runs(one, "orders", 1)
            await one.client.pause_flow("orders", runs=True)
            await until(lambda: paused(one, id), "the run to be paused")
            view = await one.client.look(id)
            assert view is not None and any("flow resume orders" in detail for _, reason, detail, _ in view.blocked if reason == "paused")
            await one.client.resume(id)
            await one.log.until(lambda: len(one.log.of(id, PauseRequested)) == 2, "the run to be paused again")
            await one.client.pause_flow("orders", runs=False)
            await until(lambda: not paused(one, id), "the run to go on while its flow is paused without its runs")

    run(test())


def test_a_run_that_an_owner_who_was_cut_off_pauses_after_its_flow_went_on_goes_on(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(flow("orders", WAITS))
            id = await one.client.send("orders", 1)
            await open_runs(one, "orders", 1)
            late = encode_batch([PauseRequested(id, 1, "flow orders is paused", True)])
            await one.client.connection.publisher.publish(subjects.wal(0), late)
            await one.log.until(lambda: bool(one.log.of(id, ResumeRequested)), "the run to go on")
            await one.client.signal(id, "go")
            await one.log.ended(id)
            assert [type(record) for record in one.log.journal(id)][1:3] == [PauseRequested, ResumeRequested]

    run(test())


def paused(one: Fleet, id: str) -> bool:
    found = one.open_run(id)
    return found is not None and found.paused


async def crash_and_wait(one: Fleet, dead: Coordinator) -> None:
    await one.crash(dead)
    (left,) = one.coordinators
    await until(lambda: len(left.owners) == one.client.partitions and not left.ready, "the partitions of the dead one")
