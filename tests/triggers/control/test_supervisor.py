"""One source's life: confirmed only what is on disk, made anew when it fails, closed whatever happens, paused and resumed in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from jetfleet.broker.api import Client
from jetfleet.broker.triggers import pauses
from jetfleet.broker.triggers import supervisor as lives
from jetfleet.broker.triggers.emitter import Emitter
from jetfleet.broker.triggers.source import SourceBroken, SourceFailed, Spec
from jetfleet.broker.triggers.supervisor import FAILING, LISTENING, PAUSED, STARTING, Supervisor
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import EventRejected
from jetfleet.schemas.flow.triggers.memory import MemoryParams

from ...fleet.running import run
from ...fleet.trouble import until
from .sources import ByHand, Workshop

FLOW = """
name: orders
inputs: {type: object}
triggers: [{id: in, type: memory}]
nodes: {a: {type: std::log, config: {message: hi}}}
edges: [{from: in, to: a}]
"""
SPEC = Spec("memory", MemoryParams(), (("orders", "in"),))


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed sources come back soon, and those that hang are given up soon."""
    monkeypatch.setattr(pauses, "FIRST_S", 0.01)
    monkeypatch.setattr(pauses, "BROKEN_S", 0.02)
    monkeypatch.setattr(lives, "CLOSE_S", 0.2)


@asynccontextmanager
async def supervised(url: str, workshop: Workshop, *, start: bool = True) -> AsyncIterator[Supervisor]:
    async with await Client.connect(url) as client:
        await client.deploy(FLOW)
        emitter = Emitter(client)
        one = Supervisor(SPEC, workshop.make, emitter)
        if start:
            one.start()
            await one.ready()
        try:
            yield one
        finally:
            await one.stop()
            await emitter.close()


def living(test: Callable[[Supervisor, Workshop], Awaitable[None]], url: str, kind: type[ByHand] = ByHand) -> Workshop:
    """Run the test with a supervisor whose source listens; the workshop, when all is over."""
    workshop = Workshop(kind)

    async def whole() -> None:
        async with supervised(url, workshop) as one:
            await test(one, workshop)

    run(whole())
    return workshop


def test_a_firing_is_confirmed_when_its_event_is_on_disk_or_refused(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        workshop.last.fire("good", {"n": 1})
        workshop.last.fire("bad", "no map")
        await until(lambda: len(workshop.last.confirmed) == 2, "both confirmed")
        assert workshop.last.confirmed["good"].runs == {"orders": subjects.run_id("orders", "in/good")}
        assert isinstance(workshop.last.confirmed["bad"].refused["orders"], EventRejected)
        assert (one.fired, one.refused, one.in_flight, one.state) == (2, 1, 0, LISTENING)

    workshop = living(test, fresh_url)
    assert workshop.last.told == ["open", "pause", "close"]


def test_a_source_that_fails_is_closed_and_made_anew_and_says_why_until_it_fires_again(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        first = workshop.last
        first.fire("k", {})
        first.fail(SourceFailed("the broker is down"))
        await until(lambda: len(workshop.made) == 2, "another one")
        assert first.told == ["open", "pause", "close"]
        assert (one.state, one.restarts) == (FAILING, 1)
        assert one.error == "SOURCE_FAILED: the broker is down"
        assert "k" in first.confirmed, "what was in flight was waited for"
        workshop.last.fire("k", {})
        await until(lambda: "k" in workshop.last.confirmed, "the same firing again")
        assert (one.state, one.error) == (LISTENING, "")

    living(test, fresh_url)


def test_what_is_cancelled_inside_a_source_is_a_failure_and_no_end(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        workshop.last.fail(asyncio.CancelledError())
        await until(lambda: len(workshop.made) == 2, "another one")
        assert one.state == FAILING and "cancelled" in one.error
        workshop.last.fire("k", {})
        await until(lambda: "k" in workshop.last.confirmed, "a firing")

    living(test, fresh_url)


def test_an_adapters_mistake_is_a_failure_like_any_other(fresh_url: str) -> None:
    class Clumsy(ByHand):
        def confirm(self, firing: object, fate: object) -> None:
            raise KeyError("confirm")

        def pause(self) -> None:
            raise KeyError("pause")

    async def test(one: Supervisor, workshop: Workshop) -> None:
        workshop.last.fire("k", {})
        await until(lambda: one.fired == 1 and one.in_flight == 0, "the confirmation")
        one.pause()
        one.resume()
        workshop.last.fail(ZeroDivisionError("by hand"))
        await until(lambda: len(workshop.made) == 2, "another one")
        assert one.error == "ZeroDivisionError: by hand"

    living(test, fresh_url, Clumsy)


def test_a_source_that_ends_is_made_anew(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        workshop.last.end()
        await until(lambda: len(workshop.made) == 2, "another one")
        assert one.error == "its source came to an end"

    living(test, fresh_url)


def test_an_end_that_is_asked_for_while_a_failed_source_is_closed_waits_for_that(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        source = workshop.last
        source.gate = asyncio.Event()
        source.fail(SourceFailed("gone"))
        await until(lambda: one.source is None, "closing")
        ends = [asyncio.create_task(one.stop()) for _ in range(2)]
        await asyncio.sleep(0)
        ends[0].cancel()  # who asked for it has lost patience
        source.gate.set()
        await ends[1]
        assert source.told == ["open", "pause", "close"]
        assert len(workshop.made) == 1

    living(test, fresh_url)


def test_a_source_that_does_not_let_itself_be_closed_is_left_to_itself(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        workshop.last.gate = asyncio.Event()
        await one.stop()
        assert workshop.last.told == ["open", "pause"]

    living(test, fresh_url)


def test_an_end_during_the_pause_after_a_failure_makes_no_more_sources(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        monkeypatch.setattr(pauses, "BROKEN_S", 1_000.0)
        workshop.last.fail(SourceBroken("the port is taken"))
        await until(lambda: one.restarts == 1, "the failure")
        await one.stop()
        assert len(workshop.made) == 1
        with pytest.raises(SourceFailed, match="not served here any more"):
            await one.ready()

    living(test, fresh_url)


def test_who_waits_for_a_source_that_cannot_be_made_is_told_why(fresh_url: str) -> None:
    async def test() -> None:
        workshop = Workshop()
        workshop.refuse = SourceBroken("pip install it first")
        async with supervised(fresh_url, workshop, start=False) as one:
            assert one.state == STARTING
            one.start()
            with pytest.raises(SourceFailed, match="pip install it first"):
                await one.ready()
            assert one.state == FAILING
            workshop.refuse = None
            await until(lambda: one.source is not None, "the source, now that it can be made")
            assert await one.ready() is workshop.last

    run(test())


def test_a_trigger_that_is_paused_before_it_has_a_source_gets_one_that_is_paused(fresh_url: str) -> None:
    async def test() -> None:
        workshop = Workshop()
        async with supervised(fresh_url, workshop, start=False) as one:
            one.pause()
            one.start()
            await one.ready()
            workshop.last.fire("held", {})
            await until(lambda: workshop.last.asked == 1, "the iteration")
            assert (workshop.last.told, one.state) == (["pause", "open"], PAUSED)
            one.pause()
            one.resume()
            one.resume()
            await until(lambda: "held" in workshop.last.confirmed, "what was held")
            assert workshop.last.told == ["pause", "open", "resume"], "in turn, however often it is said"
            one.pause()
        assert workshop.last.told == ["pause", "open", "resume", "pause", "close"]

    run(test())


def test_a_paused_trigger_stays_paused_over_failures_of_its_source(fresh_url: str) -> None:
    async def test(one: Supervisor, workshop: Workshop) -> None:
        one.pause()
        workshop.last.fail(SourceFailed("gone"))
        await until(lambda: len(workshop.made) == 2, "another one")
        assert (workshop.made[0].told, workshop.made[1].told[0]) == (["open", "pause", "close"], "pause")

    living(test, fresh_url)


def test_a_source_is_not_asked_for_more_than_may_be_in_flight(fresh_url: str) -> None:
    class Narrow(ByHand):
        in_flight_max = 3

    async def test(one: Supervisor, workshop: Workshop) -> None:
        most = 0
        workshop.last.confirm = lambda firing, fate: workshop.last.confirmed.update({firing.key: fate})  # type: ignore[method-assign]
        for number in range(50):
            workshop.last.fire(str(number), {})
        while len(workshop.last.confirmed) < 50:
            most = max(most, one.in_flight)
            await asyncio.sleep(0)
        assert 0 < most <= 3

    living(test, fresh_url, Narrow)


def test_a_payload_that_nobody_can_handle_is_refused_like_any_other_bad_one(fresh_url: str) -> None:
    deep: list[object] = []
    for _ in range(20_000):
        deep = [deep]

    async def test(one: Supervisor, workshop: Workshop) -> None:
        for key, payload in (
            ("deep", deep),
            ("deep in a map", {"a": deep}),
            ("function", {"a": print}),
            ("large", {"a": {"b": [1 << 70]}}),
        ):
            workshop.last.fire(key, payload)
        workshop.last.fire("good", {})
        await until(lambda: len(workshop.last.confirmed) == 5, "all confirmed")
        assert [key for key, fate in workshop.last.confirmed.items() if fate.runs] == ["good"]
        assert (len(workshop.made), one.refused, one.in_flight) == (1, 4, 0)

    living(test, fresh_url)
