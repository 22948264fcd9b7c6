"""Messages that are not stored, and what a connection does when its server goes away."""

from __future__ import annotations

import asyncio

import pytest

from jetfleet.broker.client import Connection, ConnectionClosed, Message, NoResponders, PayloadTooLarge, Unknown
from jetfleet.schemas.errors import UsageError

from .servers import DEADLINE_S, Names, Server, run, until


def test_a_request_is_answered(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="asks") as asks, await Connection.open(shared.url, name="answers") as answers:
            tasks = []

            def answer(question: Message) -> None:
                tasks.append(asyncio.ensure_future(question.respond(question.data.upper() + question.headers.get("Tail", "").encode())))

            await answers.subscribe(names("ask"), answer)
            await answers.streams.account()  # the server knows of the subscription by now
            assert (await asks.request(names("ask"), b"ping")).data == b"PING"

    run(test())


def test_who_asks_nobody_is_told_so_at_once(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(NoResponders) as caught:
                await connection.request(names("nobody"), b"", timeout_s=20)
            assert not caught.value.maybe_done

    run(test())


def test_without_an_answer_the_outcome_is_unknown(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await connection.subscribe(names("mute"), lambda message: None)
            with pytest.raises(Unknown, match="may still be carried out") as caught:
                await connection.request(names("mute"), b"", timeout_s=0.05)
            assert caught.value.maybe_done

    run(test())


def test_headers_arrive_as_they_were_sent(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            heard: list[Message] = []
            await connection.subscribe(names("x"), heard.append)
            await connection.send(names("x"), b"plain")
            await connection.send(names("x"), b"dressed", headers={"Trace": "a: b", "Größe": "ünï", "Empty": ""})
            await until(lambda: len(heard) == 2)
            assert not heard[0].headers
            assert dict(heard[1].headers) == {"Trace": "a: b", "Größe": "ünï", "Empty": ""}
            assert heard[1].data == b"dressed"

    run(test())


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a..b", ".a", "a.", "a.*", "a.>", "a\tb"])
def test_what_is_no_subject_is_refused(shared: Server, subject: str) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(UsageError, match="is no subject"):
                await connection.send(subject)
            with pytest.raises(UsageError, match="is no subject"):
                connection.publisher.submit(subject, b"")

    run(test())


@pytest.mark.parametrize("header", [("A", "x\r\nB: y"), ("A:B", "x"), ("A B", "x"), ("", "x")])
def test_what_is_no_header_is_refused(shared: Server, header: tuple[str, str]) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(UsageError, match="is no header"):
                await connection.send("x", headers=dict([header]))

    run(test())


def test_a_message_that_the_server_would_not_take_is_refused_before_it_leaves(shared: Server) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(PayloadTooLarge, match="1048576"):
                await connection.send("x", bytes((1 << 20) + 1))
            with pytest.raises(PayloadTooLarge):  # headers count, too
                await connection.send("x", bytes(1 << 20), headers={"A": "b"})
            await connection.streams.account()  # the server did not cut the connection
            assert connection.is_connected

    run(test())


def test_a_reply_that_is_the_server_s_own_is_refused_and_costs_no_connection(shared: Server) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            cuts: list[str] = []
            connection.on_disconnect.append(lambda: cuts.append("cut"))
            await connection.send("anything", reply="_R_.of.the.server")
            for _ in range(3):  # the server has told what it thinks of it, and the connection has had its turns
                await connection.streams.account()
            assert connection.is_connected and not cuts

    run(test())


def test_members_of_a_queue_share_the_messages(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            one: list[Message] = []
            other: list[Message] = []
            await connection.subscribe(names("x"), one.append, queue="q")
            await connection.subscribe(names("x"), other.append, queue="q")
            for _ in range(50):
                await connection.send(names("x"))
            await until(lambda: len(one) + len(other) == 50)
            await connection.streams.account()
            assert len(one) + len(other) == 50

    run(test())


def test_a_handler_that_raises_does_not_stop_the_others(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            heard: list[bytes] = []

            def fail(message: Message) -> None:
                raise RuntimeError("a mistake")

            await connection.subscribe(names("x"), fail)
            await connection.subscribe(names("x"), lambda message: heard.append(message.data))
            await connection.send(names("x"), b"1")
            await connection.send(names("x"), b"2")
            await until(lambda: heard == [b"1", b"2"])

    run(test())


def test_after_a_subscription_was_stopped_nothing_is_handed_over(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            heard: list[bytes] = []
            subscription = await connection.subscribe(names("x"), lambda message: heard.append(message.data))
            await connection.send(names("x"), b"under way")
            await subscription.stop()
            assert heard == [b"under way"]
            await connection.send(names("x"), b"too late")
            await connection.streams.account()
            assert heard == [b"under way"]

    run(test())


def test_a_connection_comes_back_with_its_subscriptions_and_tells_its_listeners(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            told: list[str] = []
            heard: list[bytes] = []
            back = asyncio.Event()

            def fail() -> None:
                raise RuntimeError("a mistake")

            async def on_reconnect() -> None:
                told.append("back")
                back.set()

            connection.on_disconnect += [fail, lambda: told.append("cut")]
            connection.on_reconnect += [fail, on_reconnect]
            await connection.subscribe("x", lambda message: heard.append(message.data))
            server.restart()
            await back.wait()
            assert told == ["cut", "back"]
            await connection.send("x", b"after")
            await until(lambda: heard == [b"after"])

    run(test())


def test_while_the_server_is_away_nothing_is_sent_and_nothing_is_kept(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            cut, back = asyncio.Event(), asyncio.Event()
            heard: list[bytes] = []
            connection.on_disconnect.append(cut.set)
            connection.on_reconnect.append(back.set)
            await connection.subscribe("x", lambda message: heard.append(message.data))
            server.kill()
            await cut.wait()
            with pytest.raises(Unknown, match="nothing was sent") as caught:
                await connection.send("x", b"lost")
            assert not caught.value.maybe_done
            with pytest.raises(Unknown):
                await connection.request("x", b"lost")
            server.start()
            await back.wait()
            await connection.send("x", b"after")
            await until(lambda: bool(heard))
            assert heard == [b"after"]

    run(test())


def test_what_a_stopped_server_had_not_taken_yet_never_comes_out(server: Server) -> None:
    """A process that wrote while its server did not read must not find its old words said when the server reads again."""

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            cut, back = asyncio.Event(), asyncio.Event()
            connection.on_disconnect.append(cut.set)
            connection.on_reconnect.append(back.set)
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["x.>"], "allow_direct": True})
            server.pause()
            sent = 400
            for number in range(sent):  # more than the buffers of the kernel hold
                await connection.send(f"x.{number}", bytes(100_000))
                await asyncio.sleep(0)
            await cut.wait()
            server.resume()
            await back.wait()
            await connection.publisher.publish("x.after", b"")
            stored = [message.subject async for message in connection.streams.read("S")]
            stored.remove("x.after")  # what the kernel had taken may even come after it
            assert stored == [f"x.{number}" for number in range(len(stored))]
            assert len(stored) < sent

    run(test())


def test_a_closed_connection_says_so(shared: Server) -> None:
    async def test() -> None:
        connection = await Connection.open(shared.url, name="closed")
        await connection.close()
        await connection.close()
        with pytest.raises(ConnectionClosed, match="'closed'"):
            await connection.send("x")
        with pytest.raises(ConnectionClosed):
            await connection.subscribe("x", lambda message: None)
        with pytest.raises(ConnectionClosed):
            await connection.publisher.publish("x", b"")

    run(test())


@pytest.mark.part("uvloop")
def test_all_of_it_works_on_uvloop_too(server: Server) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            back = asyncio.Event()
            connection.on_reconnect.append(back.set)
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"]})
            futures = [connection.publisher.submit("s.a", bytes(1_000)) for _ in range(500)]
            server.restart()
            await back.wait()
            assert [(await future).seq for future in futures] == list(range(1, 501))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test(), DEADLINE_S))
