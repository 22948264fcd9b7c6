"""The janitor: what no run needs goes, and what somebody puts meanwhile stays, at whatever moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from jetfleet.broker.client import Connection, StreamFull
from jetfleet.broker.objects.chunks import Place
from jetfleet.broker.objects.deletion import delete, finish
from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.meta import Found, Metas
from jetfleet.broker.objects.pins import pin_of_failure, pin_until
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.objects.stream_chunks import StreamChunks
from jetfleet.schemas import subjects
from jetfleet.schemas.payload_errors import PayloadLost

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from .around import HeldChunks, deployed, got, some_bytes, some_chunks, stored

BODY = some_chunks(2.5)


def over(*ended: str) -> Callable[[set[str]], Awaitable[set[str]]]:
    """These runs are over."""

    async def is_over(runs: set[str]) -> set[str]:
        return runs & set(ended)

    return is_over


async def state(connection: Connection, digest: str) -> Found:
    found = await Metas(connection).read(digest)
    assert found is not None
    return found


async def condemned(connection: Connection) -> tuple[ObjectStore, Found]:
    """An object that nobody needs, after the first sweep."""
    store = ObjectStore(connection)
    digest = await store.put(BODY, run="a")
    swept = await Janitor(connection, grace_s=0).sweep(over("a"))
    assert (swept.pins, swept.condemned, swept.deleted) == (1, 1, 0)
    return store, await state(connection, digest)


async def is_kept(connection: Connection, store: ObjectStore, digest: str) -> bool:
    """Whether it is whole now, and stays so however often is swept."""
    for _ in range(3):
        await Janitor(connection, grace_s=0).sweep(over("a"))
        assert await got(store, digest) == BODY
    found = await state(connection, digest)
    return found.meta.is_readable


def test_an_object_goes_when_its_runs_are_over(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, janitor = ObjectStore(connection), Janitor(connection, grace_s=0)
            digest = await store.put(BODY, run="a")
            await store.put(BODY, run="b.child")
            for _ in range(3):
                await janitor.sweep(over("a"))
            assert await got(store, digest) == BODY
            await janitor.sweep(over("a", "b.child"))
            assert await got(store, digest) == BODY, "condemned, not yet deleted"
            assert (await janitor.sweep(over())).deleted == 1
            with pytest.raises(PayloadLost):
                await got(store, digest)
            assert (await connection.streams.subjects(subjects.OBJECTS, ">")) == {}

    run(test())


def test_a_condemned_object_stays_for_the_grace(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            late_s = found.time_ns / 1e9 + 61
            assert (await Janitor(connection, clock=lambda: late_s - 2).sweep(over("a"))).deleted == 0
            assert await got(store, found.name) == BODY
            assert (await Janitor(connection, clock=lambda: late_s).sweep(over("a"))).deleted == 1

    run(test())


def test_a_pin_until_some_time_stays_until_then_though_the_run_is_over(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            digest = await store.put(BODY, run="a")
            await connection.publisher.publish(*pin_until("a", digest, 10_000))
            await store.put(BODY, run="a")  # an attempt that comes late does not shorten it
            assert (await Janitor(connection, grace_s=0, clock=lambda: 9.999).sweep(over("a"))).pins == 0
            assert (await Janitor(connection, grace_s=0, clock=lambda: 10).sweep(over())).pins == 0
            assert (await Janitor(connection, grace_s=0, clock=lambda: 10).sweep(over("a"))).pins == 1

    run(test())


def test_what_a_kept_object_may_lead_to_stays_as_long_whichever_run_of_the_family_pinned_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            outer = await store.put(BODY, run="a")
            await store.put(memoryview(b"a part"), run="a.child")
            await store.put(memoryview(b"of another run"), run="b")
            await connection.publisher.publish(*pin_until("a", outer, 10_000, nested=True))
            await store.put(BODY, run="a")  # an attempt that comes late does not make it forgotten
            ended = over("a", "a.child", "b")
            assert (await Janitor(connection, grace_s=0, clock=lambda: 9.999).sweep(ended)).pins == 1
            assert (await Janitor(connection, grace_s=0, clock=lambda: 10).sweep(ended)).pins == 2

    run(test())


def test_a_failure_keeps_what_its_family_has_stored_until_some_time_or_another_end(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, ended = ObjectStore(connection), over("a", "a.child", "b")
            for name in ("a", "a.child", "b"):
                await store.put(memoryview(name.encode()), run=name)
            await connection.publisher.publish(*pin_of_failure("a", 10_000))
            assert (await Janitor(connection, grace_s=0, clock=lambda: 9.999).sweep(ended)).pins == 1, "that of b"
            await connection.publisher.publish(*pin_of_failure("a", 0))
            assert (await Janitor(connection, grace_s=0, clock=lambda: 9.999).sweep(ended)).pins == 3

    run(test())


def test_a_put_that_read_the_meta_before_it_was_condemned_keeps_the_object(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            digest = await store.put(BODY, run="a")

            async def put_meanwhile(runs: set[str]) -> set[str]:
                await store.put(BODY, run="b")  # after the janitor has read the pins
                return {"a"}

            assert (await Janitor(connection, grace_s=0).sweep(put_meanwhile)).condemned == 1
            assert (await Janitor(connection, grace_s=0).sweep(over("a"))).taken_back == 1
            assert await is_kept(connection, store, digest)

    run(test())


def test_a_janitor_that_knows_old_pins_only_asks_again_before_it_deletes(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            await store.put(some_bytes(10), run="c")

            async def pin_meanwhile(runs: set[str]) -> set[str]:
                await connection.publisher.publish(*pin_until("b", found.name, 0))
                return set()

            swept = await Janitor(connection, grace_s=0).sweep(pin_meanwhile)
            assert (swept.taken_back, swept.deleted) == (1, 0)
            assert await is_kept(connection, store, found.name)

    run(test())


def test_a_put_takes_back_what_is_condemned_and_the_deletion_fails(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            await store.put(BODY, run="b")  # after the janitor has seen that there are no pins
            assert not await delete(Metas(connection), found, lambda _: StreamChunks(connection))
            assert await is_kept(connection, store, found.name)

    run(test())


def test_a_pin_takes_back_what_is_condemned_and_the_deletion_fails(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            await store.pin("b", found.name)
            assert not await delete(Metas(connection), found, lambda _: StreamChunks(connection))
            assert await is_kept(connection, store, found.name)

    run(test())


def test_a_put_that_meets_a_deletion_finishes_it_and_stores_all_anew(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            metas, chunks = Metas(connection), StreamChunks(connection)
            assert await metas.change(found, fate="deleting")
            marked = await state(connection, found.name)
            await store.put(BODY, run="b")
            await finish(metas, marked, lambda _: chunks)  # the janitor wakes up
            assert await is_kept(connection, store, found.name)

    run(test())


def test_a_janitor_that_stops_between_chunks_and_meta_harms_no_later_put(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            metas, chunks = Metas(connection), StreamChunks(connection)
            assert await metas.change(found, fate="deleting")
            marked = await state(connection, found.name)
            await chunks.delete(Place(found.name, ""), marked.seq)
            await store.put(BODY, run="b")
            await metas.purge(marked)  # the janitor wakes up
            assert await is_kept(connection, store, found.name)

    run(test())


def test_a_janitor_that_died_in_a_deletion_leaves_it_to_the_next(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, found = await condemned(connection)
            assert await Metas(connection).change(found, fate="deleting")
            with pytest.raises(PayloadLost):
                await got(store, found.name)
            with pytest.raises(PayloadLost):
                await store.pin("b", found.name)
            await store.unpin("b")
            assert (await Janitor(connection).sweep(over())).deleted == 1
            assert await connection.streams.subjects(subjects.OBJECTS, ">") == {}

    run(test())


def test_an_object_that_is_deleted_in_the_middle_of_its_upload_is_stored_anew(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            body, held = some_chunks(30), HeldChunks(connection, free=12)
            putting = asyncio.create_task(ObjectStore(connection, held).put(body, run="a"))
            await held.held.wait()
            janitor = Janitor(connection, grace_s=0)
            await janitor.sweep(over("a"))
            assert (await janitor.sweep(over("a"))).deleted == 1
            held.release.set()
            assert await got(ObjectStore(connection), await putting) == body

    run(test())


def test_an_upload_that_its_process_never_finished_goes_with_its_run(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            held = HeldChunks(connection, free=12)
            putting = asyncio.create_task(ObjectStore(connection, held).put(some_chunks(30), run="a"))
            await held.held.wait()
            putting.cancel()
            with suppress(asyncio.CancelledError):
                await putting
            assert len(await stored(connection, "chunk")) == 12
            for _ in range(2):
                await Janitor(connection, grace_s=0).sweep(over("a"))
            assert await connection.streams.subjects(subjects.OBJECTS, ">") == {}

    run(test())


def test_chunks_without_a_meta_go_after_an_hour(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, chunks = ObjectStore(connection), StreamChunks(connection)
            digest = await store.put(BODY, run="b")
            for n in range(3):
                await chunks.put(Place("ab" * 32, ""), n, b"remains")
            newest_s = await chunks.newest_ms(Place("ab" * 32, "")) / 1000
            assert (await Janitor(connection, clock=lambda: newest_s + 3_599).sweep(over())).strays == 0
            assert (await Janitor(connection, clock=lambda: newest_s + 3_601).sweep(over())).strays == 1
            assert len(await stored(connection, "chunk")) == 3
            assert await is_kept(connection, store, digest)

    run(test())


def test_a_full_store_can_be_swept(server: BackgroundServer) -> None:
    """Every mark that the janitor makes has to fit into the room of the one before."""

    async def test() -> None:
        async with deployed(server) as connection:
            store, janitor = ObjectStore(connection), Janitor(connection, grace_s=0)
            digest = await store.put(BODY, run="a")
            await store.unpin("a")
            info = await connection.streams.stream_info(subjects.OBJECTS)
            assert info is not None
            await connection.streams.create_or_update_stream({**info["config"], "max_bytes": info["state"]["bytes"]})
            with pytest.raises(StreamFull):
                await connection.publisher.publish(*pin_until("a", digest, 0))
            assert (await janitor.sweep(over("a"))).condemned == 1
            assert (await janitor.sweep(over("a"))).deleted == 1
            assert await connection.streams.subjects(subjects.OBJECTS, ">") == {}

    run(test())


def test_puts_and_sweeps_at_a_time_lose_nothing(server: BackgroundServer) -> None:
    """Janitors that believe every run to be over at once, without any grace, against puts of the same few objects."""

    async def test() -> None:
        async with deployed(server) as connection:
            store, done = ObjectStore(connection), asyncio.Event()
            bodies = [some_bytes(5_000, seed) for seed in range(3)]

            async def put(writer: int) -> None:
                for n in range(15):
                    name = f"open-{writer}-{n}"
                    digest = await store.put(bodies[(writer + n) % 3], run=name)
                    assert await got(store, digest) == bodies[(writer + n) % 3]
                    await store.unpin(name)

            async def sweep() -> None:
                while not done.is_set():
                    await Janitor(connection, grace_s=0).sweep(over())

            sweeping = [asyncio.create_task(sweep()) for _ in range(2)]
            await asyncio.gather(*(put(writer) for writer in range(6)))
            done.set()
            await asyncio.gather(*sweeping)

    run(test())


def test_a_thousand_runs_leave_nothing_behind(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)

            async def some_runs(first: int) -> None:
                for n in range(first, 1_000, 50):
                    await store.put(some_bytes(3_000, seed=n % 200), run=f"run-{n}")

            await asyncio.gather(*(some_runs(first) for first in range(50)))
            assert len(await stored(connection, "pin")) == 1_000
            janitor = Janitor(connection, grace_s=0)
            swept = await janitor.sweep(over(*(f"run-{n}" for n in range(1_000))))
            assert (swept.pins, swept.condemned) == (1_000, 200)
            assert (await janitor.sweep(over())).deleted == 200
            info = await connection.streams.stream_info(subjects.OBJECTS)
            assert info is not None and info["state"]["messages"] == 0

    run(test(), timeout_s=60)
