"""Entries leave together, are stored in order, and each is settled exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from jetfleet.broker.client import Batcher, BrokerError, Connection, ConnectionClosed, PayloadTooLarge, StreamFull, Unknown

from .servers import Names, Server, run, until

pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


class Counting:
    """A receipt that remembers what it was told."""

    def __init__(self, told: list[Counting] | None = None) -> None:
        self.stored = 0
        self.calls: list[int] = []
        self.errors: list[BrokerError] = []
        self._told = told

    def settled(self, count: int, error: BrokerError | None) -> None:
        self.calls.append(count)
        if error is None:
            self.stored += count
        else:
            self.errors += [error] * count
        if self._told is not None:
            self._told.append(self)


async def batches(connection: Connection, stream: str) -> list[list[object]]:
    return [unpack(message.data) async for message in connection.streams.read(stream)]


def put_all(batcher: Batcher, entries: Iterable[object], receipt: Counting) -> None:
    for entry in entries:
        batcher.put(pack(entry), receipt)


def test_a_lone_entry_leaves_by_itself_and_a_flood_in_large_messages(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"), entries_max=100)
            put_all(batcher, ["alone"], receipt)
            await batcher.drained()
            put_all(batcher, range(250), receipt)
            assert batcher.backlog == 250
            await batcher.drained()
            assert batcher.backlog == 0
            assert receipt.stored == 251
            stored = await batches(connection, names.stream)
            assert [len(batch) for batch in stored] == [1, 100, 100, 50]
            assert stored[0] == ["alone"]
            assert [entry for batch in stored[1:] for entry in batch] == list(range(250))

    run(test())


def test_what_is_put_while_publishes_are_in_flight_waits_and_leaves_together(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"), in_flight_max=1)
            put_all(batcher, [0], receipt)
            await asyncio.sleep(0)  # it has left
            for number in range(1, 20):
                put_all(batcher, [number], receipt)
                await asyncio.sleep(0)
            await batcher.drained()
            stored = await batches(connection, names.stream)
            assert stored[0] == [0]
            assert len(stored) < 20
            assert [entry for batch in stored for entry in batch] == list(range(20))

    run(test())


def test_bytes_and_weights_close_a_batch(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            receipt = Counting()
            by_bytes = Batcher(connection.publisher, names("a"), bytes_max=1_000)
            put_all(by_bytes, [bytes(300)] * 4 + [bytes(5_000)] + [b""], receipt)
            await by_bytes.drained()
            assert [len(batch) for batch in await batches(connection, names.stream)] == [3, 1, 1, 1]
            await connection.streams.purge(names.stream)
            by_weight = Batcher(connection.publisher, names("b"), weight_max=10)
            for weight in (4, 4, 4, 50, 1, 9, 0):
                by_weight.put(pack(weight), receipt, weight)
            await by_weight.drained()
            assert await batches(connection, names.stream) == [[4, 4], [4], [50], [1, 9, 0]]

    run(test())


def test_an_entry_that_fits_no_message_fails_alone_and_in_its_turn(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            told: list[Counting] = []
            small, large, other = Counting(told), Counting(told), Counting(told)
            batcher = Batcher(connection.publisher, names("a"))
            put_all(batcher, ["before"], small)
            put_all(batcher, [bytes(1 << 20)], large)
            put_all(batcher, ["after"], other)
            await batcher.drained()
            assert [type(error) for error in large.errors] == [PayloadTooLarge]
            assert (small.stored, large.stored, other.stored) == (1, 0, 1)
            assert told == [small, large, other]

    run(test())


def test_consecutive_entries_of_a_receipt_are_one_call(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            told: list[Counting] = []
            one, other = Counting(told), Counting(told)
            batcher = Batcher(connection.publisher, names("a"))
            put_all(batcher, range(5), one)
            put_all(batcher, range(3), other)
            put_all(batcher, range(2), one)
            await batcher.drained()
            assert told == [one, other, one]
            assert (one.calls, other.calls) == ([5, 2], [3])

    run(test())


def test_a_receipt_that_raises_leaves_the_others_alone(shared: Server, names: Names) -> None:
    class Broken:
        def settled(self, count: int, error: BrokerError | None) -> None:
            raise RuntimeError("a mistake")

    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"))
            batcher.put(pack(1), Broken())
            put_all(batcher, [2], receipt)
            await batcher.drained()
            assert receipt.stored == 1

    run(test())


def test_headers_come_with_every_batch(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            batcher = Batcher(connection.publisher, names("a"), headers={"Content-Type": "application/msgpack"})
            put_all(batcher, [1], Counting())
            await batcher.drained()
            stored = await connection.streams.last(names.stream, names("a"))
            assert stored is not None
            assert stored.headers["Content-Type"] == "application/msgpack"

    run(test())


def test_across_crashes_of_the_server_the_order_stays_and_every_entry_is_settled_once(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True})
            receipt, waves, wave = Counting(), 3, 10_000
            total = waves * wave
            batcher = Batcher(connection.publisher, "s.a", entries_max=50)
            for start in range(0, total, wave):
                put_all(batcher, range(start, start + wave), receipt)
                await until(lambda start=start: receipt.stored > start)  # type: ignore[misc]
                server.restart()
            await batcher.drained()
            assert (receipt.stored, receipt.errors, batcher.blocked_by) == (total, [], None)
            assert [entry for batch in await batches(connection, "S") for entry in batch] == list(range(total))

    run(test())


def test_a_patient_batcher_waits_for_room_and_says_so(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, max_msgs=1, discard="new")
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"), entries_max=1)
            put_all(batcher, range(3), receipt)
            await until(lambda: isinstance(batcher.blocked_by, StreamFull))
            assert (receipt.stored, batcher.backlog) == (1, 2)
            await names.create(connection, max_msgs=100, discard="new")
            await batcher.drained()
            assert (receipt.stored, batcher.blocked_by) == (3, None)

    run(test())


def test_an_impatient_batcher_passes_the_error_on(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, max_msgs=1, discard="new")
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"), entries_max=2, patient=False)
            put_all(batcher, range(4), receipt)
            await batcher.drained()
            assert receipt.stored == 2
            assert [type(error) for error in receipt.errors] == [StreamFull, StreamFull]

    run(test())


def test_a_batcher_without_a_server_says_what_holds_it_up(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"]})
            batcher, receipt = Batcher(connection.publisher, "s.a"), Counting()
            assert batcher.blocked_by is None
            server.kill()
            await until(lambda: not connection.is_connected)
            assert batcher.blocked_by is None  # nothing waits
            put_all(batcher, [1], receipt)
            assert isinstance(batcher.blocked_by, Unknown)
            server.start()
            await batcher.drained()
            assert (receipt.stored, batcher.blocked_by) == (1, None)

    run(test())


def test_closing_settles_what_is_left(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            receipt = Counting()
            batcher = Batcher(connection.publisher, "s.a", entries_max=2, in_flight_max=1)
            server.pause()
            put_all(batcher, range(4), receipt)
            await asyncio.sleep(0)
            await batcher.close()
            put_all(batcher, [5], receipt)
            await batcher.drained()
            assert receipt.stored == 0
            assert [type(error) for error in receipt.errors] == [ConnectionClosed] * 5
            assert [error.maybe_done for error in receipt.errors] == [True, True, False, False, False]
            server.resume()

    run(test())


@pytest.mark.parametrize("patient", [True, False])
def test_a_definite_refusal_goes_to_the_receipts(shared: Server, names: Names, patient: bool) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, max_msg_size=200)
            receipt = Counting()
            batcher = Batcher(connection.publisher, names("a"), patient=patient)
            put_all(batcher, [bytes(500)], receipt)
            await batcher.drained()
            assert [type(error) for error in receipt.errors] == [PayloadTooLarge]

    run(test())


def test_what_is_recalled_waits_for_the_gate_and_is_stored_once_in_order(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True})
            receipt, is_open = Counting(), True
            batcher = Batcher(connection.publisher, "s.a", entries_max=2, in_flight_max=2, gate=lambda: is_open)
            put_all(batcher, range(3), receipt)
            await asyncio.sleep(0)  # both batches are on their way: the server has them, and nobody heard
            is_open = False
            batcher.recall()
            put_all(batcher, [3], receipt)
            await until(lambda: batcher._retry_timer is not None)
            assert (receipt.calls, batcher.backlog) == ([], 4)
            is_open = True
            await batcher.drained()
            assert (receipt.stored, receipt.errors) == (4, [])
            assert await batches(connection, "S") == [[0, 1], [2], [3]]

    run(test())


def test_what_is_forgotten_settles_as_stored_and_never_leaves(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True})
            told: list[Counting] = []
            first, second = Counting(told), Counting(told)
            batcher = Batcher(connection.publisher, "s.a", entries_max=2, in_flight_max=1)
            server.kill()
            await until(lambda: not connection.is_connected)
            put_all(batcher, [1, 2], first)
            await asyncio.sleep(0)  # they are in a batch, which waits for the server
            put_all(batcher, [3], second)
            batcher.forget()
            assert (first.calls, second.calls, told, batcher.backlog) == ([2], [1], [first, second], 0)
            put_all(batcher, [4], second)
            server.start()
            await batcher.drained()
            assert await batches(connection, "S") == [[4]]

    run(test())
