"""A publish ends stored once, refused, or unknown, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from jetfleet.broker.client import (
    Connection,
    ConnectionClosed,
    NoResponders,
    PubAck,
    Refused,
    StreamFull,
    Unknown,
    WrongSequence,
    publisher,
)

from .proxy import Proxy
from .servers import Names, Server, run, until_async


def test_the_same_id_is_stored_once(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            assert await connection.publisher.publish(names("a"), b"1", id="one") == PubAck(names.stream, 1, False)
            assert await connection.publisher.publish(names("a"), b"1", id="one") == PubAck(names.stream, 1, True)
            assert (await connection.publisher.publish(names("a"), b"1")).seq == 2
            assert (await connection.publisher.publish(names("a"), b"1")).seq == 3

    run(test())


def test_messages_are_stored_in_the_order_in_which_they_were_submitted(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            acks = await asyncio.gather(*(connection.publisher.submit(names("a"), b"%d" % number) for number in range(2_000)))
            assert [ack.seq for ack in acks] == list(range(1, 2_001))
            stored = [message.data async for message in connection.streams.read(names.stream)]
            assert stored == [b"%d" % number for number in range(2_000)]

    run(test())


def test_headers_are_stored(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await connection.publisher.publish(names("a"), b"", id="i", headers={"Content-Type": "application/json"})
            stored = await connection.streams.last(names.stream, names("a"))
            assert stored is not None
            assert dict(stored.headers) == {"Content-Type": "application/json", "Nats-Msg-Id": "i"}

    run(test())


def test_a_compare_and_set_that_loses_says_what_the_last_sequence_is(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            publish = connection.publisher.publish
            assert (await publish(names("a"), b"", expect_last_subject_seq=0)).seq == 1
            await publish(names("b"), b"")
            assert (await publish(names("a"), b"", expect_last_subject_seq=1)).seq == 3
            with pytest.raises(WrongSequence) as caught:
                await publish(names("a"), b"", expect_last_subject_seq=1)
            assert caught.value.actual == 3
            assert not caught.value.maybe_done
            with pytest.raises(WrongSequence):
                await publish(names("a"), b"", expect_last_seq=2)
            assert (await publish(names("a"), b"", expect_last_seq=3)).seq == 4

    run(test())


def test_a_full_stream_refuses_at_once(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, max_msgs=1, discard="new")
            await connection.publisher.publish(names("a"), b"")
            with pytest.raises(StreamFull, match="purge") as caught:
                await connection.publisher.publish(names("a"), b"")
            assert (caught.value.err_code, caught.value.code) == (10077, "STREAM_FULL")

    run(test())


def test_any_other_refusal_has_the_servers_reason(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            with pytest.raises(Refused, match="expected stream does not match"):
                await connection.publisher.publish(names("a"), b"", headers={"Nats-Expected-Stream": "another"})

    run(test())


def test_a_stream_that_comes_a_little_later_is_waited_for(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            early = connection.publisher.submit(names("a"), b"")
            await connection.streams.account()
            assert not early.done()
            await names.create(connection)
            assert (await early).seq == 1

    run(test())


def test_without_a_stream_it_is_certain_at_the_deadline_that_nothing_was_stored(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(NoResponders, match="no stream takes it") as caught:
                await connection.publisher.publish(names("a"), b"", deadline_s=0.2)
            assert isinstance(caught.value, Unknown)
            assert not caught.value.maybe_done

    run(test())


def test_a_service_in_the_place_of_a_stream_is_noticed(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            replies: list[asyncio.Future[None]] = []
            await connection.subscribe(names("a"), lambda message: replies.append(asyncio.ensure_future(message.respond(b"hello"))))
            with pytest.raises(Unknown, match="no stream"):
                await connection.publisher.publish(names("a"), b"")

    run(test())


def test_after_a_crash_everything_is_sent_again_and_stored_once(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True})
            futures = [connection.publisher.submit("s.a", b"%d" % number) for number in range(1_000)]
            await futures[0]
            server.kill()
            futures += [connection.publisher.submit("s.a", b"%d" % number) for number in range(1_000, 1_500)]
            server.start()
            acks = await asyncio.gather(*futures)
            stored = [message.data async for message in connection.streams.read("S")]
            assert stored == [b"%d" % number for number in range(1_500)]
            assert [ack.seq for ack in acks] == list(range(1, 1_501))

    run(test())


def test_a_stopped_server_makes_the_outcome_unknown_and_the_same_id_resolves_it(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"]})
            server.pause()
            with pytest.raises(Unknown, match="same id") as caught:
                await connection.publisher.publish("s.a", b"x", id="one", deadline_s=0.2)
            assert caught.value.maybe_done
            server.resume()
            assert await connection.publisher.publish("s.a", b"x", id="one") == PubAck("S", 1, True)

    run(test())


def test_a_message_is_sent_again_if_its_acknowledgement_stays_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "RESEND_S", 0.05)

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            copies: list[bytes] = []
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"]})
            await connection.subscribe("s.a", lambda message: copies.append(message.data))
            server.pause()
            waiting = connection.publisher.submit("s.a", b"x")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await asyncio.shield(waiting)
            server.resume()
            assert (await waiting).seq == 1
            await connection.streams.account()
            assert len(copies) > 1
            info = await connection.streams.stream_info("S")
            assert info is not None
            assert info["state"]["messages"] == 1

    run(test())


def test_a_compare_and_set_that_lost_against_its_own_first_sending_has_succeeded(shared: Server, names: Names) -> None:
    """When the stream has forgotten the id by the time of the second sending, only the stored message tells whose it is."""

    async def test() -> None:
        async with Proxy(shared.port) as proxy, await Connection.open(shared.url, name="direct") as direct:
            await names.create(direct, duplicate_window=100_000_000)
            async with await Connection.open(proxy.url, name="test") as connection:
                proxy.deafen()
                waiting = asyncio.ensure_future(connection.publisher.publish(names("lease"), b"mine", expect_last_subject_seq=0))
                await until_async(lambda: is_stored(direct, names("lease")))
                await direct.publisher.publish(names("probe"), b"", id="probe")
                await until_async(lambda: is_forgotten(direct, names("probe"), "probe"))
                proxy.cut()
                assert await waiting == PubAck(names.stream, 1, True)

    async def is_stored(connection: Connection, subject: str) -> bool:
        return await connection.streams.last(names.stream, subject) is not None

    async def is_forgotten(connection: Connection, subject: str, id: str) -> bool:
        return not (await connection.publisher.publish(subject, b"", id=id)).duplicate

    run(test())


def test_a_compare_and_set_that_was_sent_twice_and_lost_against_another_has_lost(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with Proxy(shared.port) as proxy, await Connection.open(shared.url, name="direct") as direct:
            await names.create(direct)
            async with await Connection.open(proxy.url, name="test") as connection:
                cut = asyncio.Event()
                connection.on_disconnect.append(cut.set)
                await direct.publisher.publish(names("lease"), b"theirs")
                proxy.deafen()
                waiting = asyncio.ensure_future(connection.publisher.publish(names("lease"), b"mine", expect_last_subject_seq=0))
                await direct.streams.account()
                proxy.cut()
                await cut.wait()
                with pytest.raises(WrongSequence) as caught:
                    await waiting
                assert caught.value.actual == 1

    run(test())


def test_a_publish_that_nobody_waits_for_any_more_is_forgotten(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            waiting = asyncio.ensure_future(connection.publisher.publish(names("a"), b""))
            await connection.streams.account()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await names.create(connection)
            assert (await connection.publisher.publish(names("b"), b"")).seq >= 1

    run(test())


def test_closing_ends_what_is_under_way(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            server.kill()
            waiting = connection.publisher.submit("s.a", b"", deadline_s=float("inf"))
        with pytest.raises(ConnectionClosed) as caught:
            await waiting
        assert caught.value.maybe_done

    run(test())
