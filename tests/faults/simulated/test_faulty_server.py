"""Every fault of the simulated server does what it is named after, is counted, and is over after `heal`. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from jetfleet.broker.client import Message, Pull, Tail, Unknown

from .stage import SECOND_NS, Stage, consumer, made, play, until


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
