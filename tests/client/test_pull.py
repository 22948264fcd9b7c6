"""A pull hands over what its consumer has, never more than there is room for, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from jetfleet.broker.client import Connection, Message, Pull, Unknown

from .proxy import Proxy
from .servers import Names, Server, run, until, until_async


class Worker:
    """Takes messages into as many slots as it has; acknowledges what it finishes."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.working: list[Message] = []
        self.taken: list[bytes] = []

    def room(self) -> int:
        return self.slots - len(self.working)

    def take(self, message: Message) -> None:
        self.taken.append(message.data)
        self.working.append(message)
        assert len(self.working) <= self.slots, "more than there was room for"

    async def finish(self, pull: Pull) -> None:
        working, self.working = self.working, []
        for message in working:
            await message.ack()
        pull.wake()


async def fill(connection: Connection, subject: str, count: int, first: int = 0) -> None:
    await asyncio.gather(*(connection.publisher.submit(subject, b"%d" % number) for number in range(first, first + count)))


async def create(connection: Connection, names: Names, **config: Any) -> None:
    await names.create(connection, retention="workqueue", **config)
    await connection.streams.create_or_update_consumer(
        names.stream, {"durable_name": "d", "ack_policy": "explicit", "ack_wait": 60 * 10**9}
    )


async def until_empty(connection: Connection, stream: str) -> None:
    async def empty() -> bool:
        info = await connection.streams.stream_info(stream)
        return info is not None and info["state"]["messages"] == 0

    await until_async(empty)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_everything_comes_in_order_and_is_gone_when_acknowledged(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            await fill(connection, names("a"), 1_000)
            worker = Worker(100)
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room)
            await pull.start()
            while len(worker.taken) < 1_000:
                await until(lambda: bool(worker.working))
                await worker.finish(pull)
            assert worker.taken == numbers(1_000)
            await until_empty(connection, names.stream)
            await pull.stop()

    run(test())


def test_no_more_comes_than_there_is_room_for(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            await fill(connection, names("a"), 50)
            worker = Worker(7)
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room)
            await pull.start()
            await until(lambda: len(worker.taken) == 7)
            info = await connection.streams.consumer_info(names.stream, "d")
            assert info is not None
            assert (info["num_ack_pending"], info["num_waiting"]) == (7, 0)  # the server has nothing more to send to us
            await worker.finish(pull)
            await until(lambda: len(worker.taken) == 14)
            await pull.stop()

    run(test())


def test_messages_know_their_delivery(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            await fill(connection, names("a"), 2)
            heard: list[Message] = []
            pull = Pull(connection, names.stream, "d", heard.append, room=lambda: 10)
            await pull.start()
            await until(lambda: len(heard) == 2)
            first, second = heard
            assert (first.stream, first.consumer, first.delivered, first.stream_seq) == (names.stream, "d", 1, 1)
            assert (second.consumer_seq, second.pending, first.pending) == (2, 0, 1)
            stored = await connection.streams.get(names.stream, 1)
            assert stored is not None
            assert first.timestamp_ns == stored.time_ns
            await first.nak()
            await until(lambda: len(heard) == 3)
            assert (heard[2].stream_seq, heard[2].delivered) == (1, 2)
            await pull.stop()

    run(test())


def test_an_acknowledgement_without_a_server_is_no_error(server: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await create(connection, names)
            await fill(connection, names("a"), 1)
            worker = Worker(1)
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room)
            await pull.start()
            await until(lambda: bool(worker.working))
            server.kill()
            await until(lambda: not connection.is_connected)
            message = worker.working[0]
            await message.in_progress()
            await message.nak(delay_s=1)
            await message.ack()
            await pull.stop()

    run(test())


def test_it_goes_on_after_a_crash_of_the_server(server: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await create(connection, names)
            worker = Worker(20)  # room for those that come a second time
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room)
            await pull.start()
            await fill(connection, names("a"), 4)
            await until(lambda: len(worker.taken) == 4)
            server.restart()
            await fill(connection, names("a"), 4, first=4)
            await until(lambda: set(worker.taken) == set(numbers(8)))
            await pull.stop()

    run(test())


def test_asks_of_before_a_cut_do_not_fill_the_room_twice(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with Proxy(shared.port) as proxy, await Connection.open(shared.url, name="direct") as direct:
            await create(direct, names)
            async with await Connection.open(proxy.url, name="test") as connection:
                back = asyncio.Event()
                connection.on_reconnect.append(back.set)
                worker = Worker(5)
                pull = Pull(connection, names.stream, "d", worker.take, room=worker.room)
                await pull.start()
                await connection.streams.account()  # the server has the ask
                proxy.cut()
                await back.wait()
                await connection.streams.account()
                await fill(direct, names("a"), 20)
                await until(lambda: len(worker.taken) == 5)
                await connection.streams.account()
                assert len(worker.taken) == 5
                await pull.stop()

    run(test())


def test_a_deleted_consumer_is_made_anew(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            repairs: list[None] = []

            async def repair() -> None:
                repairs.append(None)
                if len(repairs) == 1:
                    raise Unknown("not this time")
                if len(repairs) == 2:
                    raise RuntimeError("a mistake")
                await create(connection, names)

            worker = Worker(10)
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room, repair=repair)
            await pull.start()  # there is not even a stream
            await until(lambda: len(repairs) == 3)
            await fill(connection, names("a"), 1)
            await until(lambda: worker.taken == numbers(1))
            await worker.finish(pull)
            await until_empty(connection, names.stream)
            await connection.streams.delete_consumer(names.stream, "d")
            await fill(connection, names("a"), 1, first=1)
            await until(lambda: worker.taken == numbers(2))
            await connection.streams.delete_stream(names.stream)
            await until(lambda: len(repairs) >= 5)
            await fill(connection, names("a"), 1, first=2)
            await until(lambda: worker.taken == numbers(3))
            await pull.stop()

    run(test())


def test_a_stream_in_memory_that_went_down_with_the_server_is_made_anew(server: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:

            async def repair() -> None:
                await create(connection, names, storage="memory")

            worker = Worker(10)
            pull = Pull(connection, names.stream, "d", worker.take, room=worker.room, repair=repair)
            await repair()
            await pull.start()
            await fill(connection, names("a"), 1)
            await until(lambda: len(worker.taken) == 1)
            server.restart()
            await fill(connection, names("a"), 1, first=1)
            await until(lambda: worker.taken[-1] == b"1")
            await pull.stop()

    run(test())


def test_what_arrives_after_stopping_is_given_back(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            await fill(connection, names("a"), 200)
            stopping: list[asyncio.Task[None]] = []
            first: list[bytes] = []

            def stop_at_once(message: Message) -> None:
                first.append(message.data)
                if len(first) == 3:
                    stopping.append(asyncio.ensure_future(pull.stop()))

            pull = Pull(connection, names.stream, "d", stop_at_once, room=lambda: 200)
            await pull.start()
            await until(lambda: bool(stopping))
            await stopping[0]
            taken = len(first)
            worker = Worker(200)
            second = Pull(connection, names.stream, "d", worker.take, room=worker.room)
            await second.start()
            await until(lambda: len(worker.taken) == 200 - taken)  # at once, and not after `ack_wait`
            assert set(first) | set(worker.taken) == set(numbers(200))
            assert len(first) == taken
            await second.stop()

    run(test())


def test_a_handler_that_raises_does_not_end_the_pull(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            heard: list[bytes] = []

            def fail(message: Message) -> None:
                heard.append(message.data)
                raise RuntimeError("a mistake")

            pull = Pull(connection, names.stream, "d", fail, room=lambda: 3)
            await pull.start()
            await fill(connection, names("a"), 20)
            await until(lambda: len(heard) == 20)
            await pull.stop()

    run(test())


def test_beginning_anew_again_and_again_loses_nothing(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            heard: list[bytes] = []
            acks: list[asyncio.Future[None]] = []

            def take(message: Message) -> None:
                heard.append(message.data)
                acks.append(asyncio.ensure_future(message.ack()))
                if len(heard) % 10 == 0:
                    pull.restart()

            pull = Pull(connection, names.stream, "d", take, room=lambda: 50)
            await pull.start()
            await fill(connection, names("a"), 500)
            await until_empty(connection, names.stream)
            assert set(heard) == set(numbers(500))
            await pull.stop()

    run(test())


def test_a_message_that_pretends_to_be_a_status_is_a_message(shared: Server, names: Names) -> None:
    """Anybody may publish an event, with whatever bytes in its headers."""

    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await create(connection, names)
            _, writer = await asyncio.open_connection("127.0.0.1", shared.port)
            block = b"NATS/1.0 409 Consumer Deleted\r\n\r\n"
            writer.write(b'CONNECT {"headers":true}\r\nHPUB %b %d %d\r\n%b\r\n' % (names("a").encode(), len(block), len(block), block))
            await writer.drain()
            heard: list[Message] = []
            pull = Pull(connection, names.stream, "d", heard.append, room=lambda: 10)
            await pull.start()
            await until(lambda: len(heard) == 1)
            assert [message.seq async for message in connection.streams.read(names.stream)] == [1]
            await pull.stop()
            writer.close()
            await writer.wait_closed()

    run(test())
