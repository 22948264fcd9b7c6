"""Values on their way to another host: two arenas, one server, and processes that may be away."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest

from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.client import Connection, Message
from jetfleet.broker.deployment import ensure
from jetfleet.broker.objects.opening import open_chunks
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.payloads import remote
from jetfleet.broker.payloads.holder import Holder
from jetfleet.broker.payloads.plane import Plane
from jetfleet.broker.payloads.producer import Producer
from jetfleet.broker.payloads.remote import Holders
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects
from jetfleet.schemas.flow.definition import Payloads
from jetfleet.schemas.payload import decode, encode, refs_in
from jetfleet.schemas.payload_errors import PayloadElsewhere, PayloadLost
from jetfleet.schemas.ref import Ref

from ..fleet.running import run

RULES = Payloads(inline_max="1KiB")
PRODUCER = Producer("orders-1", (3,), True)
ARRAY = numpy.arange(400_000.0)


@asynccontextmanager
async def host(url: str, folder: Path | None, *, answers: bool = True) -> AsyncIterator[Plane]:
    """A process with an arena in this folder; None: without one. `answers`: uploads for others."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await Connection.open(url, name="host"))
        await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
        plane = Plane(
            None if folder is None else ArenaSettings(folder), ObjectStore(connection, open_chunks(None, connection)), Holders(connection)
        )
        stack.callback(plane.close)
        if answers and folder is not None:
            holder = Holder(connection, plane)
            await holder.start()
            stack.push_async_callback(holder.stop)
        yield plane


def test_a_value_is_uploaded_when_another_host_asks_for_it(fresh_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(fresh_url, tmp_path / "a") as here, host(fresh_url, tmp_path / "b") as there:
            payload = here.encode({"rows": ARRAY, "n": 1}, PRODUCER, RULES)
            value = await there.value(payload)

            numpy.testing.assert_array_equal(value["rows"], ARRAY)
            assert not value["rows"].flags.owndata  # it lies in the other host's arena now
            assert here.counters.uploaded == there.counters.downloaded == ARRAY.nbytes

    run(body())


def test_a_value_is_fetched_once_however_many_ask_for_it(fresh_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(fresh_url, tmp_path / "a") as here, host(fresh_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            await asyncio.gather(*(there.here(refs_in(payload)) for _ in range(20)))
            await there.here(refs_in(payload))

            assert here.counters.uploaded == there.counters.downloaded == ARRAY.nbytes

    run(body())


def test_what_is_counted_as_moved_is_what_the_server_was_sent(fresh_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(fresh_url, tmp_path / "a") as here, host(fresh_url, tmp_path / "b") as there:
            async with await Connection.open(fresh_url, name="observer") as connection:
                payloads = [here.encode(ARRAY, Producer(run), RULES) for run in ("one", "two")]
                for payload in payloads:
                    await there.value(payload)
                info = await connection.streams.stream_info(subjects.OBJECTS)

            assert info is not None and ARRAY.nbytes <= info["state"]["bytes"] < ARRAY.nbytes + 16_000
            assert here.counters.uploaded == ARRAY.nbytes, "the same bytes of another run are there already"
            assert there.counters.downloaded == 2 * ARRAY.nbytes

    run(body())


def test_values_inside_of_values_come_along(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode({"parts": [ARRAY[:1_000] + i for i in range(30)]}, PRODUCER, RULES)
            picked = encode(decode(payload)["parts"].at((7,)))

            numpy.testing.assert_array_equal(await there.value(picked), ARRAY[:1_000] + 7)
            numpy.testing.assert_array_equal((await there.value(payload))["parts"][29], ARRAY[:1_000] + 29)

    run(body())


@pytest.mark.parametrize("value", [{"rows": ARRAY}, {"parts": [ARRAY[:1_000] + i for i in range(30)]}], ids=["array", "list of arrays"])
def test_what_is_durable_survives_its_host(nats_url: str, tmp_path: Path, value: Any) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a", answers=False) as here:
            payload = await here.durable(here.encode(value, PRODUCER, RULES), "orders-1")
        async with host(nats_url, tmp_path / "b") as there:
            read = await there.value(payload)

        numpy.testing.assert_equal(read, value)

    run(body())


def test_a_client_without_an_arena_reads_into_its_memory(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, None) as client:
            payload = here.encode({"rows": ARRAY, "text": "x" * 5_000}, PRODUCER, RULES)
            value = await client.value(payload)

        numpy.testing.assert_array_equal(value["rows"], ARRAY)
        assert value["text"] == "x" * 5_000

    run(body())


def test_a_client_reads_many_values_at_once(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, None) as client:
            payloads = [here.encode(ARRAY[: 10_000 * (n + 1)], PRODUCER, RULES) for n in range(12)]
            for n, value in enumerate(await asyncio.gather(*map(client.value, payloads))):
                numpy.testing.assert_array_equal(value, ARRAY[: 10_000 * (n + 1)])

    run(body())


def test_what_nobody_has_any_more_is_lost_and_says_who_made_it(nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "GIVE_UP_S", 0.2)

    async def body() -> None:
        async with host(nats_url, tmp_path / "a", answers=False) as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            with pytest.raises(PayloadLost, match="has answered") as caught:
                await there.here(refs_in(payload))

        assert [(ref.run, ref.activation, ref.again) for ref in caught.value.refs] == [("orders-1", (3,), True)]

    run(body())


def test_a_holder_that_starts_meanwhile_is_asked_again(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "b") as there:
            async with host(nats_url, tmp_path / "a", answers=False) as here:
                payload = here.encode(ARRAY, PRODUCER, RULES)
            asking = asyncio.create_task(there.value(payload))
            async with host(nats_url, tmp_path / "a"):
                numpy.testing.assert_array_equal(await asking, ARRAY)

    run(body())


def test_an_entry_that_its_host_has_freed_is_lost(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            for segment in (tmp_path / "a").glob("*.seg"):
                segment.unlink()
            with pytest.raises(PayloadLost, match="is lost"):
                await there.here(refs_in(payload))

    run(body())


def test_a_copy_that_was_freed_is_fetched_again(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            await there.here(refs_in(payload))
            for segment in (tmp_path / "b").glob("*.seg"):
                segment.unlink()
            numpy.testing.assert_array_equal(await there.value(payload), ARRAY)

        assert there.counters.downloaded == 2 * ARRAY.nbytes

    run(body())


def test_the_bytes_of_a_durable_value_are_fetched_when_the_arena_has_freed_them(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here:
            payload = await here.durable(here.encode(ARRAY, PRODUCER, RULES), "orders-1")
            ref = decode(payload)
            assert isinstance(ref, Ref) and ref.digest
            for segment in (tmp_path / "a").glob("*.seg"):
                segment.unlink()
            numpy.testing.assert_array_equal(await here.value(payload), ARRAY)

    run(body())


@pytest.mark.parametrize("answer", [b"\x92\x09\xa0", b"\xc1", b""])
def test_a_holder_that_nobody_understands_counts_as_none(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(remote, "GIVE_UP_S", 0.2)

    async def body() -> None:
        async with host(nats_url, tmp_path / "a", answers=False) as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            async with await Connection.open(nats_url, name="another version") as connection:
                assert here.arena is not None
                held = await connection.subscribe(subjects.upload(here.arena.host), lambda message: asked(message, answer))
                with pytest.raises(PayloadLost, match="no process of host"):
                    await there.value(payload)
                await held.stop()

    run(body())


def test_a_defect_of_a_holder_is_an_answer_too_so_that_the_value_does_not_count_as_lost(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode(ARRAY, PRODUCER, RULES)
            monkeypatch.setattr(here.ways, "objects", None)
            with pytest.raises(PayloadElsewhere, match="AssertionError"):
                await there.value(payload)

    run(body())


def test_what_came_encrypted_from_another_host_is_handed_on_encrypted(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JETFLEET_PAYLOAD_KEY_HOSTS", base64.b64encode(bytes(32)).decode())
    rules = Payloads(inline_max="1KiB", encryption="hosts")
    array = ARRAY + 0.5

    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            value = await there.value(here.encode(array, PRODUCER, rules))
            handed_on = there.encode(value, PRODUCER, rules)

            assert there.counters.passed_on == array.nbytes  # not written again
            (stored,) = refs_in(await there.durable(handed_on, PRODUCER.run))
            store = there.ways.objects
            assert stored.key == "hosts" and store is not None
            assert await store.size(stored.digest, key="hosts") == array.nbytes
            assert await store.size(stored.digest) is None

    run(body())


def test_a_large_list_without_refs_in_it_is_stored_as_it_lies(nats_url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with host(nats_url, tmp_path / "a") as here, host(nats_url, tmp_path / "b") as there:
            payload = here.encode([{"n": n, "place": numpy.arange(3)} for n in range(1_000)], PRODUCER, RULES)
            (written,), durable = refs_in(payload), await here.durable(payload, PRODUCER.run)

            (stored,) = refs_in(durable)
            assert stored == written.replace(digest=stored.digest) and stored.nested
            value = await there.value(durable)
            assert len(value) == 1_000 and value[999]["n"] == 999 and list(value[999]["place"]) == [0, 1, 2]

    run(body())


answers: set[asyncio.Future[None]] = set()


def asked(message: Message, answer: bytes) -> None:
    task = asyncio.ensure_future(message.respond(answer))
    answers.add(task)
    task.add_done_callback(answers.discard)
