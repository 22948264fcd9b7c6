"""Every fault of the simulated server does what it is named after, is counted, and is over after `heal`. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest

from jetfleet.broker.client import Connection, Message, Pull, Tail, Unknown

from .clock import START_NS
from .faults import KINDS, PER_SECOND, Faults
from .loop import VirtualLoop
from .server import SimulatedServer

SECOND_NS = 10**9


class Stage:
    """A simulated server and connections to it."""

    def __init__(self, stack: AsyncExitStack, seed: int, rates: dict[str, float], latency_s: float) -> None:
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        self.faults = Faults(seed, rates)
        wall_ns = lambda: START_NS + int((loop.time() - begin_s) * 1e9)  # noqa: E731
        self.server = SimulatedServer(seed, latency_s=latency_s, wall_ns=wall_ns, faults=self.faults)
        self.said: list[Any] = []
        self.server.log = lambda word, facts: self.said.append((word, facts))
        self._stack = stack

    async def connection(self, name: str = "client") -> Connection:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("jetfleet.broker.client.connection.Wire", self.server.wire)
            return await self._stack.enter_async_context(await Connection.open("nats://simulated", name=name))

    def stored(self, stream: str = "S") -> list[bytes]:
        return [message.data for message in self.server.streams[stream].store.messages.values()]

    def wire(self, name: str = "client") -> Any:
        return next(wire for wire in self.server.wires if wire.name == name)


def play(script: Callable[[Stage], Awaitable[None]], *, seed: int = 0, latency_s: float = 0.001, **rates: float) -> Stage:
    """In virtual time."""

    async def played() -> Stage:
        async with asyncio.timeout(600), AsyncExitStack() as stack:
            stage = Stage(stack, seed, rates, latency_s)
            await script(stage)
            return stage

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Random(seed))) as runner:
        return runner.run(played())


async def made(connection: Connection, **config: Any) -> None:
    await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True, **config})


async def consumer(connection: Connection, **config: Any) -> None:
    whole = {"durable_name": "d", "ack_policy": "explicit", "ack_wait": 2 * SECOND_NS, **config}
    await connection.streams.create_or_update_consumer("S", whole)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["answer_lost", "publish_lost"])
def test_what_is_not_answered_is_sent_again_and_stored_once(kind: str) -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        acks = await asyncio.gather(*(connection.publisher.publish(f"s.{number}", b"%d" % number, deadline_s=300) for number in range(20)))
        assert sorted(stage.stored()) == sorted(b"%d" % number for number in range(20))
        assert any(ack.duplicate for ack in acks) == (kind == "answer_lost")
        assert stage.faults.counts[kind] > 3

    play(script, **{kind: 0.3})


def test_a_stalled_stream_takes_it_after_the_deadline_and_after_the_reconnect() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        stage.faults.stall("S", 10)
        with pytest.raises(Unknown):
            await connection.publisher.publish("s.a", b"late", deadline_s=4)
        back = asyncio.Event()
        connection.on_reconnect.append(back.set)
        stage.faults.troubles.cut(stage.wire())
        await back.wait()
        assert stage.stored() == []
        await until(lambda: bool(stage.stored()))
        assert stage.stored() == [b"late"]
        assert stage.faults.counts == {"stalled": 1, "cut": 1}

    play(script)


def test_a_latched_stream_answers_nobody_until_the_server_starts_anew() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        stage.faults.latch("S")
        publishing = asyncio.ensure_future(connection.publisher.publish("s.a", b"x", deadline_s=120))
        await asyncio.sleep(30)
        assert not publishing.done()
        assert await connection.streams.stream_info("S") is not None  # who only reads finds nothing wrong
        stage.faults.heal()
        await publishing
        assert stage.stored() == [b"x"]

    play(script)


def test_an_acknowledgement_that_is_forgotten_brings_the_message_again() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection, retention="workqueue")
        await consumer(connection)
        heard: list[int] = []

        def take(message: Message) -> None:
            heard.append(message.delivered)
            message.done()

        pull = Pull(connection, "S", "d", take, room=lambda: 10)
        await pull.start()
        await connection.publisher.publish("s.a", b"x")
        await until(lambda: stage.faults.counts["ack_lost"] == 1)
        stage.faults.rates.clear()
        await until(lambda: not stage.stored())
        assert heard == [1, 2]

    play(script, ack_lost=1.0)


def test_a_message_is_delivered_twice_although_its_time_is_not_over() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        await consumer(connection, ack_wait=1_000 * SECOND_NS)
        heard: list[tuple[int, int]] = []
        pull = Pull(connection, "S", "d", lambda message: heard.append((message.stream_seq, message.delivered)), room=lambda: 10)
        await pull.start()
        await connection.publisher.publish("s.a", b"x")
        await until(lambda: len(heard) > 1)
        assert heard[:2] == [(1, 1), (1, 2)]
        assert stage.faults.counts["delivered_twice"] >= 1

    play(script, delivered_twice=1.0)


def test_what_was_written_before_a_hold_may_arrive_after_the_words_of_the_next_connection() -> None:
    async def order(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        stage.faults.troubles.hold(stage.wire(), 10)
        await connection.send("s.a", b"of before")
        await until(lambda: not connection.is_connected)  # it gives up
        assert stage.stored() == []
        await until(lambda: connection.is_connected)
        await connection.publisher.publish("s.a", b"of after")
        assert sorted(stage.stored()) in ([b"of after"], [b"of after", b"of before"])

    stored = [play(order, seed=seed).stored() for seed in range(12)]
    assert [b"of after"] in stored
    assert any(len(each) == 2 for each in stored)


def test_a_deaf_connection_is_given_up_and_what_it_said_is_stored() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        stage.faults.troubles.deafen(stage.wire(), 5)
        publishing = asyncio.ensure_future(connection.publisher.publish("s.a", b"x"))
        await until(lambda: stage.stored() == [b"x"])
        assert not publishing.done()
        await until(lambda: not connection.is_connected)
        assert (await publishing).duplicate

    play(script)


def test_a_server_that_was_killed_has_its_files_and_nothing_else() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        await connection.streams.create_or_update_stream({"name": "M", "subjects": ["m.>"], "storage": "memory"})
        heard: list[bytes] = []
        await connection.subscribe("core.>", lambda message: heard.append(message.data))
        await connection.publisher.publish("s.a", b"x", id="known")
        stage.faults.troubles.kill_server(1.5)
        await until(lambda: not connection.is_connected)
        with pytest.raises(Unknown):
            await connection.send("core.a")
        await until(lambda: connection.is_connected)
        assert await connection.streams.names() == ["S"]
        assert (await connection.publisher.publish("s.a", b"x", id="known")).duplicate
        await connection.send("core.a", b"again")  # the subscription is there again
        await until(lambda: heard == [b"again"])

    play(script)


def test_a_server_that_stands_still_goes_on_where_it_was() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        stage.faults.troubles.stop_server(1.5)
        publishing = asyncio.ensure_future(connection.publisher.publish("s.a", b"x"))
        await asyncio.sleep(1)
        assert not publishing.done()
        await publishing
        assert connection.is_connected
        stage.faults.troubles.stop_server(8)
        await until(lambda: not connection.is_connected)
        await until(lambda: connection.is_connected)

    play(script)


def test_a_consumer_that_is_lost_is_made_anew_by_who_pulls() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        await consumer(connection)
        heard: list[bytes] = []

        def take(message: Message) -> None:
            heard.append(message.data)
            message.done()

        pull = Pull(connection, "S", "d", take, room=lambda: 10, repair=lambda: consumer(connection))
        await pull.start()
        await connection.publisher.publish("s.a", b"1")
        await until(lambda: heard == [b"1"])
        stage.faults.troubles.lose_consumer(stage.server.streams["S"].consumers["d"])
        await connection.publisher.publish("s.a", b"2")
        await until(lambda: heard == [b"1", b"1", b"2"])

    play(script)


def test_a_consumer_that_forgets_gives_again_what_was_acknowledged_but_not_what_is_gone() -> None:
    async def script(stage: Stage) -> None:
        for retention, expected in (("limits", [b"1", b"1"]), ("workqueue", [b"1"])):
            connection = await stage.connection(retention)
            await made(connection, retention=retention)
            await consumer(connection)
            heard: list[bytes] = []

            def take(message: Message, heard: list[bytes] = heard) -> None:
                heard.append(message.data)
                message.done()

            pull = Pull(connection, "S", "d", take, room=lambda: 10)
            await pull.start()
            await connection.publisher.publish("s.a", b"1")
            await until(lambda heard=heard: heard == [b"1"])
            await connection.streams.account()
            stage.faults.troubles.rewind(stage.server.streams["S"].consumers["d"], 1)
            await asyncio.sleep(5)
            assert heard == expected
            await pull.stop()
            await connection.streams.delete_stream("S")

    play(script)


def test_a_tail_that_is_lost_is_a_hole_for_who_has_read_it() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        holes: list[tuple[int, int]] = []
        tail = Tail(connection, "S", 1, lambda message: None, on_hole=lambda expected, got: holes.append((expected, got)))
        await tail.start()
        for number in range(30):
            await connection.publisher.publish("s.a", b"%d" % number)
        await tail.caught_up()
        stage.faults.troubles.lose_tails(0.5, 20)
        lost = 30 - len(stage.stored())
        await until(lambda: bool(holes))
        assert lost > 0
        assert holes == [(31, 30 - lost)]
        await connection.publisher.publish("s.a", b"again")
        assert stage.server.streams["S"].store.last_seq == 31 - lost  # a sequence comes a second time

    play(script, seed=3)


def test_nothing_leaves_a_wire_whose_process_is_gone() -> None:
    async def script(stage: Stage) -> None:
        connection = await stage.connection()
        await made(connection)
        lost: list[None] = []
        connection.on_disconnect.append(lambda: lost.append(None))
        stage.wire().vanish()
        with pytest.raises(Unknown):
            await connection.send("s.a", b"x")
        await asyncio.sleep(10)
        assert not connection.is_connected
        assert lost == []
        assert stage.stored() == []

    play(script)


RATES = {"answer_lost": 0.05, "publish_lost": 0.05, "stalled": 0.01, "ack_lost": 0.1, "delivered_twice": 0.1, "cut": 0.3, "held": 0.2,
         "deaf": 0.1, "server_killed": 0.1, "server_stopped": 0.1, "rewound": 0.2, "consumer_lost": 0.1, "latched": 0.05}  # fmt: skip


async def troubled(stage: Stage) -> None:
    """Messages through a work queue, with everything going wrong; then nothing any more."""
    connection, worker = await stage.connection(), await stage.connection("worker")
    await made(connection, retention="workqueue")
    await consumer(worker)
    heard: set[bytes] = set()

    def take(message: Message) -> None:
        heard.add(message.data)
        message.done()

    pull = Pull(worker, "S", "d", take, room=lambda: 10, repair=lambda: consumer(worker))
    await pull.start()
    stage.faults.start()
    sent = []
    for number in range(60):
        sent.append(connection.publisher.submit(f"s.{number % 3}", b"%d" % number, deadline_s=600))
        await asyncio.sleep(0.5)
    stage.faults.heal()
    await asyncio.wait_for(asyncio.gather(*sent), 30)
    await until(lambda: not stage.stored())
    assert heard == {b"%d" % number for number in range(60)}
    await pull.stop()


@pytest.mark.parametrize("seed", range(8))
def test_after_all_faults_are_healed_everything_arrives(seed: int) -> None:
    stage = play(troubled, seed=seed, **RATES)
    assert stage.faults.counts.total() > 10


def test_every_kind_of_fault_comes_by_chance() -> None:
    seen: set[str] = set()
    for seed in range(20, 60):
        stage = play(troubled, seed=seed, **RATES)
        seen |= set(stage.faults.counts)
        if seen >= set(RATES):
            break
    assert seen >= set(RATES)
    assert set(RATES) == set(KINDS) - {"tail_lost"}
    assert set(PER_SECOND) <= set(KINDS)


def test_a_seed_does_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, other = (_troubles_of(seed, monkeypatch) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def _troubles_of(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    chance = Random(7)
    for module in ("inbox", "publisher", "pull"):
        monkeypatch.setattr(f"jetfleet.broker.client.{module}.token_hex", lambda size: chance.randbytes(size).hex())
    stage = play(troubled, seed=seed, **RATES)
    return [(kind, detail) for _, kind, detail in stage.faults.history]
