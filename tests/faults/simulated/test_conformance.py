"""The simulated server is to its clients what the real one is: the same scripts on both, and on both they see the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from ...client.servers import Server
from .account import Account
from .conformance import Pair, opened
from .ids import Ids
from .random_scripts import Play
from .streams import Stream

SCRIPTS, SCRIPTS_SOAKED, STEPS = 6, 300, 60
WRITTEN_S = 0.6
"""After so long a real server has written to its disk what a consumer has done."""
WAIT_S = 1
"""How long a consumer waits for an acknowledgement."""
Script = Callable[[Pair], Awaitable[None]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("real")
    server = Server(folder)
    server.start()
    yield server.url
    server.kill()


def play(url: str, script: Script) -> None:
    async def played() -> None:
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            await script(await opened(stack, url))

    asyncio.run(played())


def test_streams_are_made_changed_shown_and_refused_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create())
        await pair.same(lambda side: side.create())
        await pair.same(lambda side: side.create(max_msgs=5))
        await pair.same(lambda side: side.update(max_msgs=5))
        await pair.same(lambda side: side.update(storage="memory"))
        await pair.same(lambda side: side.update(retention="workqueue"))
        await pair.same(lambda side: side.update(no_such_option=True))
        await pair.same(lambda side: side.api(f"STREAM.UPDATE.X{side.stream}", {"name": f"X{side.stream}"}))
        await pair.same(
            lambda side: side.api(f"STREAM.CREATE.X{side.stream}", {"name": f"X{side.stream}", "subjects": [side.subject("a")]})
        )
        await pair.same(lambda side: side.api("STREAM.NAMES", {"subject": side.subject("b")}))
        await pair.same(lambda side: side.api("STREAM.NAMES", {"subject": "nobody.takes.it"}))
        await pair.same(lambda side: side.api(f"STREAM.DELETE.{side.stream}"))
        await pair.same(lambda side: side.api(f"STREAM.DELETE.{side.stream}"))
        await pair.same(lambda side: side.api(f"STREAM.INFO.{side.stream}"))
        await pair.same(lambda side: side.create(storage="memory", discard="new", max_msgs_per_subject=1, first_seq=100))
        await pair.alike(lambda side: side.info())

    play(url, script)


def test_messages_are_stored_dropped_as_duplicates_and_refused_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(discard="new", max_bytes=2_000, max_msg_size=1_000))
        await pair.same(lambda side: side.publish("a", b"1", Nats_Msg_Id="one"))
        await pair.same(lambda side: side.publish("b", b"2", Nats_Msg_Id="one"))
        await pair.same(lambda side: side.publish("a", b"3", Nats_Expected_Last_Subject_Sequence="1"))
        await pair.same(lambda side: side.publish("a", b"4", Nats_Expected_Last_Subject_Sequence="1"))
        await pair.same(lambda side: side.publish("c", b"5", Nats_Expected_Last_Subject_Sequence="0"))
        await pair.same(lambda side: side.publish("c", b"6", Nats_Expected_Last_Sequence="3"))
        await pair.same(lambda side: side.publish("c", b"7", Nats_Expected_Last_Sequence="3"))
        # An expected sequence is looked at before the id: the same message sent twice loses against itself.
        await pair.same(lambda side: side.publish("d", b"8", Nats_Msg_Id="d", Nats_Expected_Last_Subject_Sequence="0"))
        await pair.same(lambda side: side.publish("d", b"8", Nats_Msg_Id="d", Nats_Expected_Last_Subject_Sequence="0"))
        await pair.same(lambda side: side.publish("d", b"", Nats_Expected_Stream="another"))
        await pair.same(lambda side: side.publish("d", bytes(1_001)))
        await pair.same(lambda side: side.publish("d", b"", Nats_TTL="5s"))
        await pair.same(lambda side: side.publish("d", b"", Nats_Rollup="sub"))
        await pair.same(lambda side: side.publish("d", b"", Nats_Schedule="@at 2030-01-01T00:00:00Z", Nats_Schedule_Target="x"))
        for number in range(5):
            await pair.same(lambda side, number=number: side.publish(f"x.{number}", bytes(500)))
        await pair.alike(lambda side: side.info(">"))
        await pair.same(lambda side: side.submit("a", b"", expect_last_subject_seq=99))
        await pair.same(lambda side: side.connection.publisher.publish(side.subject("a"), b"", id="one"))

    play(url, script)


def test_limits_drop_the_oldest_or_refuse_the_newest_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(max_msgs_per_subject=2, max_msgs=5))
        for number in range(12):
            await pair.same(lambda side, number=number: side.publish(f"s.{number % 4}", bytes(number)))
        await pair.alike(lambda side: side.info("s.*"))
        await pair.same(lambda side: side.update(max_msgs_per_subject=1, max_msgs=2))
        await pair.alike(lambda side: side.info("s.*"))
        await pair.same(lambda side: side.update(max_msgs_per_subject=1, discard="new", discard_new_per_subject=True))
        await pair.same(lambda side: side.publish("s.3", b"x"))
        await pair.same(lambda side: side.publish("s.9", b"x"))
        await pair.same(lambda side: side.publish("s.9", b"x"))
        await pair.same(lambda side: side.update(discard="new", max_msgs=3))
        await pair.same(lambda side: side.publish("s.8", b"x"))
        await pair.alike(lambda side: side.info("s.*"))

    play(url, script)


def test_messages_are_found_purged_and_deleted_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(allow_rollup_hdrs=True))
        for number in range(12):
            await pair.same(lambda side, number=number: side.publish(f"k.{number % 3}", b"%d" % number, Number=str(number)))
        await pair.same(lambda side: side.delete(5))
        await pair.same(lambda side: side.delete(5))
        await pair.same(lambda side: side.delete(50))
        for question in ({"seq": 4}, {"seq": 5}, {"last_by_subj": "k.1"}, {"last_by_subj": "*.2"}, {"last_by_subj": "n"},
                         {"seq": 5, "next_by_subj": "k.1"}, {"seq": 1, "next_by_subj": ">"}, {"seq": 20, "next_by_subj": ">"}):  # fmt: skip
            await pair.same(lambda side, question=question: side.message(**question), str(question))
        for question in ({"seq": 4}, {"seq": 5}, {"seq": 3, "next_by_subj": "k.*"}, {"seq": 1, "next_by_subj": ">", "batch": 4},
                         {"seq": 8, "next_by_subj": "k.2", "batch": 100}, {"seq": 1, "next_by_subj": ">", "batch": 9, "max_bytes": 100},
                         {"seq": 99, "next_by_subj": ">", "batch": 4}, {"multi_last": ["k.*"]}, {"multi_last": ["k.*"], "batch": 2},
                         {"multi_last": ["k.*"], "up_to_seq": 7}, {"multi_last": ["k.*"], "seq": 11, "batch": 5, "up_to_seq": 11},
                         {"multi_last": ["n.*"]}):  # fmt: skip
            await pair.same(lambda side, question=dict(question): side.direct(**question), str(question))
        await pair.same(lambda side: side.direct("k.1"))
        await pair.same(lambda side: side.direct("nothing"))
        await pair.same(lambda side: side.purge(filter="k.1", seq=6))
        await pair.same(lambda side: side.purge(filter="k.0", keep=2))
        await pair.same(lambda side: side.purge(seq=7))
        await pair.alike(lambda side: side.info(">"))
        await pair.same(lambda side: side.publish("k.2", b"rolled up", Nats_Rollup="sub"))
        await pair.alike(lambda side: side.info(">"))
        await pair.same(lambda side: side.purge(keep=2))
        await pair.same(lambda side: side.purge(seq=100))
        await pair.alike(lambda side: side.info())
        await pair.same(lambda side: side.publish("k.2"))
        await pair.same(lambda side: side.purge())
        await pair.alike(lambda side: side.info())
        await pair.same(lambda side: side.purge(seq=5, keep=1))

    play(url, script)


def test_batches_are_stored_whole_or_refused_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(allow_atomic=True, discard="new", max_msgs=10))
        await pair.same(lambda side: side.batch(*((f"b.{number}", b"x", {"Nats-Msg-Id": f"m{number}"}) for number in range(4))))
        await pair.same(lambda side: side.batch(("b.7", b"", {}), ("b.1", b"", {"Nats-Msg-Id": "m1"})))
        await pair.same(lambda side: side.batch(("b.7", b"", {"Nats-Msg-Id": "n"}), ("b.8", b"", {"Nats-Msg-Id": "n"})))
        await pair.same(lambda side: side.batch(("b.7", b"", {"Nats-Expected-Last-Subject-Sequence": "1"}), ("b.8", b"", {})))
        await pair.same(lambda side: side.batch(("b.7", b"", {}), ("b.7", b"", {"Nats-Expected-Last-Subject-Sequence": "5"})))
        await pair.same(lambda side: side.batch(("b.1", b"", {"Nats-Expected-Last-Subject-Sequence": "2"}), ("b.8", b"", {})))
        await pair.same(lambda side: side.batch(("b.1", b"", {"Nats-Expected-Last-Sequence": "6"}), ("b.8", b"", {})))
        await pair.same(lambda side: side.batch(*(("b.9", b"", {}) for _ in range(3))))
        await pair.alike(lambda side: side.info(">"))
        await pair.same(lambda side: side.publish("b.1", b"", Nats_Batch_Id="late", Nats_Batch_Sequence="2", Nats_Batch_Commit="1"))
        await pair.same(lambda side: side.publish("b.1", b"", Nats_Batch_Id="late", Nats_Batch_Commit="1"))
        await pair.same(lambda side: side.update(allow_atomic=False))
        await pair.same(lambda side: side.batch(("b.1", b"", {}), ("b.2", b"", {})))

    play(url, script)


def test_consumers_are_made_changed_shown_and_refused_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.consumer("c"))
        await pair.same(lambda side: side.create(retention="workqueue"))
        for number in range(4):
            await pair.same(lambda side, number=number: side.publish(f"a.{number % 2}"))
        await pair.same(lambda side: side.consumer("c", "a.0", ack_policy="none"))
        await pair.same(lambda side: side.consumer("c", "a.0", ack_policy="explicit"))
        await pair.same(lambda side: side.consumer("c", "a.0", ack_policy="explicit"))
        await pair.same(lambda side: side.consumer("d", "a.*", ack_policy="explicit"))
        await pair.same(lambda side: side.consumer("d", ack_policy="explicit"))
        await pair.same(lambda side: side.consumer("d", "a.1", ack_policy="explicit", deliver_policy="new"))
        await pair.same(lambda side: side.consumer("d", "a.1", "a.*", ack_policy="explicit"))
        await pair.same(lambda side: side.consumer("d", "a.1", ack_policy="explicit", ack_wait=10**9, max_ack_pending=7))
        await pair.same(lambda side: side.consumer("d", "a.1", ack_policy="explicit", mem_storage=True))
        await pair.same(lambda side: side.consumer("d", "b.1", ack_policy="explicit", max_deliver=3))
        await pair.alike(lambda side: side.consumer_info("d"))
        await pair.same(lambda side: side.api(f"CONSUMER.NAMES.{side.stream}", {"offset": 0}))
        await pair.same(lambda side: side.delete_consumer("d"))
        await pair.same(lambda side: side.delete_consumer("d"))
        await pair.same(lambda side: side.consumer_info("d"))

    play(url, script)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_messages_are_given_acknowledged_and_given_again_alike(url: str, retention: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(retention=retention))
        await pair.same(lambda side: side.consumer("c", ack_policy="explicit", ack_wait=10**10, max_ack_pending=6))
        await pair.same(lambda side: side.pull("c", 2, no_wait=True))
        for number in range(9):
            await pair.same(lambda side, number=number: side.publish(f"m.{number}", b"%d" % number))
        await pair.same(lambda side: side.pull("c", 3, no_wait=True))
        await pair.alike(lambda side: side.consumer_info("c"))
        for place, word in ((1, b"+ACK"), (0, b"-NAK"), (2, b"+WPI")):
            await pair.same(lambda side, place=place, word=word: side.acknowledge(place, word))
            await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.pull("c", 3, no_wait=True))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.pull("c", 5, expires=10**8))  # no more than `max_ack_pending` are out
        await pair.alike(lambda side: side.consumer_info("c"))
        for place in range(6):
            await pair.same(lambda side, place=place: side.acknowledge(place, b"+TERM" if place == 3 else b"+ACK"))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.alike(lambda side: side.info())
        await pair.same(lambda side: side.pull("c", 9, no_wait=True))
        await pair.same(lambda side: side.acknowledge(6, b'-NAK {"delay": 50000000}'))
        await pair.same(lambda side: side.pull("c", 1, expires=3 * 10**9))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.purge(seq=8))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.purge())
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.publish("m.9"))
        await pair.same(lambda side: side.pull("c", 2, no_wait=True))

    play(url, script)


def test_what_is_not_acknowledged_in_time_comes_again_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create())
        await pair.same(lambda side: side.consumer("c", ack_policy="explicit", ack_wait=3 * 10**8))
        for number in range(4):
            await pair.same(lambda side, number=number: side.publish(f"m.{number}"))
        await pair.same(lambda side: side.pull("c", 3, no_wait=True))
        await pair.same(lambda side: side.acknowledge(1, b"+ACK"))
        await pair.same(lambda side: side.pull("c", 3, expires=10**9))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.pull("c", 3, expires=10**9))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.pull("c", 3, expires=9 * 10**8))
        await pair.alike(lambda side: side.consumer_info("c"))

    play(url, script)


def test_tails_are_given_everything_from_a_place_on_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create())
        for number in range(6):
            await pair.same(lambda side, number=number: side.publish(f"m.{number % 2}"))
        await pair.same(lambda side: side.purge(seq=3))
        tail = {"durable_name": None, "ack_policy": "none", "inactive_threshold": 3 * 10**9, "mem_storage": True, "num_replicas": 1}
        for begin in (1, 3, 5, 7, 9):
            of = dict(tail, deliver_policy="by_start_sequence", opt_start_seq=begin)
            await pair.same(lambda side, begin=begin, of=of: side.consumer(f"t{begin}", **of))
            await pair.same(lambda side, begin=begin: side.pull(f"t{begin}", 10, no_wait=True))
            await pair.alike(lambda side, begin=begin: side.consumer_info(f"t{begin}"))
        await pair.same(lambda side: side.consumer("f", "m.1", **tail))
        await pair.same(lambda side: side.pull("f", 10, no_wait=True))
        await pair.same(lambda side: side.publish("m.0"))
        await pair.same(lambda side: side.publish("m.1"))
        await pair.same(lambda side: side.pull("f", 10, no_wait=True))
        await pair.same(lambda side: side.pull("t5", 1, no_wait=True))
        await pair.alike(lambda side: side.consumer_info("f"))
        await pair.same(lambda side: side.pull("t5", 5, expires=10**8, idle_heartbeat=4 * 10**7))

    play(url, script)


def test_who_waits_is_told_that_the_consumer_is_gone_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create())
        await pair.same(lambda side: side.consumer("c", ack_policy="explicit"))
        waiting = asyncio.ensure_future(pair.same(lambda side: side.pull("c", 3, expires=10**10)))
        await pair.alike(lambda side: side.consumer_info("c"))
        while (await pair.alike(lambda side: side.consumer_info("c")))["num_waiting"] != 1:
            pass
        await pair.same(lambda side: side.delete_consumer("c"))
        await waiting
        await pair.same(lambda side: side.pull("c", 3))
        await pair.same(lambda side: side.consumer("c", ack_policy="explicit"))
        waiting = asyncio.ensure_future(pair.same(lambda side: side.pull("c", 3, expires=10**10)))
        while (await pair.alike(lambda side: side.consumer_info("c")))["num_waiting"] != 1:
            pass
        await pair.same(lambda side: side.api(f"STREAM.DELETE.{side.stream}"))
        await waiting
        await pair.same(lambda side: side.direct(seq=1))
        await pair.same(lambda side: side.publish("a"))

    play(url, script)


def test_schedules_fire_and_are_replaced_alike(url: str) -> None:
    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(allow_msg_schedules=True, allow_msg_ttl=True, retention="workqueue"))
        soon = {"Nats_Schedule": "@at 2020-01-01T00:00:00Z"}
        far = {"Nats_Schedule": "@at 2090-01-01T00:00:00.123456Z"}

        def target(side: object, name: str = "fired") -> dict[str, str]:
            return {"Nats_Schedule_Target": side.subject(name)}  # type: ignore[attr-defined]

        await pair.same(lambda side: side.publish("t.1", b"a", **far, **target(side), Nats_Msg_Id="x"))
        await pair.same(lambda side: side.publish("t.1", b"b", **far, **target(side)))
        await pair.alike(lambda side: side.info(">"))
        await pair.same(lambda side: side.message(last_by_subj="t.1"))
        await pair.same(lambda side: side.publish("t.2", b"c", **soon, **target(side), Nats_Msg_Id="y", Own="kept"))
        await pair.same(lambda side: side.publish("t.1", b"d", **soon, **target(side)))
        while "fired" not in str(await pair.alike(lambda side: side.info(">"))):
            await asyncio.sleep(0.05)
        await pair.same(lambda side: side.consumer("c", "fired", ack_policy="explicit"))
        await pair.same(lambda side: side.pull("c", 2, expires=3 * 10**9))
        await pair.same(lambda side: side.publish("t.3", b"", Nats_Schedule="@at nonsense", **target(side)))
        await pair.same(lambda side: side.publish("t.3", b"", **far))
        await pair.same(lambda side: side.publish("t.3", b"", **far, **target(side, "t.3")))
        await pair.same(lambda side: side.publish("t.3", b"", **far, Nats_Schedule_Target="elsewhere"))
        await pair.same(lambda side: side.publish("t.3", b"", Nats_TTL="never"))
        await pair.same(lambda side: side.publish("t.3", b"", Nats_TTL="nonsense"))
        await pair.same(lambda side: side.publish("u", b"", Nats_TTL="1s"))
        await pair.same(lambda side: side.message(last_by_subj="u"))

        async def gone(side: object) -> bool:
            return "code" in await side.message(last_by_subj="u")  # type: ignore[attr-defined]

        while not await gone(pair.real) or not await gone(pair.simulated):
            await asyncio.sleep(0.05)

    play(url, script)


def test_after_a_kill_the_same_is_left(tmp_path: Path) -> None:
    real = Server(tmp_path)
    real.start()

    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.create(allow_atomic=True))
        await pair.same(lambda side: side.api(f"STREAM.CREATE.M{side.stream}", {"name": f"M{side.stream}", "storage": "memory"}))
        for number in range(8):
            await pair.same(lambda side, number=number: side.publish(f"a.{number}", b"x", Nats_Msg_Id=f"id{number}"))
        await pair.same(lambda side: side.purge(seq=3))
        await pair.same(lambda side: side.publish("a.1", b"x", Nats_Msg_Id="id1"))  # its message is gone, its id is known
        await pair.same(lambda side: side.consumer("c", ack_policy="explicit", ack_wait=WAIT_S * 10**9))
        await pair.same(lambda side: side.consumer("t", ack_policy="none", mem_storage=True))
        await pair.same(lambda side: side.pull("c", 4, no_wait=True))
        await pair.same(lambda side: side.acknowledge(0, b"+ACK"))
        await pair.same(lambda side: side.acknowledge(2, b"+ACK"))
        await asyncio.sleep(WRITTEN_S)
        real.restart()
        pair.server.kill()
        pair.server.start()
        await pair.same(lambda side: side.connection.streams.names())
        await pair.alike(lambda side: side.info(">"))
        await pair.alike(lambda side: side.consumer_info("c"))
        await pair.same(lambda side: side.consumer_info("t"))
        await pair.same(lambda side: side.publish("a.7", b"x", Nats_Msg_Id="id7"))
        await pair.same(lambda side: side.publish("a.1", b"x", Nats_Msg_Id="id1"))  # a new server does not know it any more
        await asyncio.sleep(WAIT_S)
        await pair.same(lambda side: side.pull("c", 5, expires=3 * 10**9))
        await pair.alike(lambda side: side.consumer_info("c"))

    try:
        play(real.url, script)
    finally:
        real.kill()


def forgetful(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Ids, "known", lambda ids, id: 0)


def careless(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Account, "comes_again", lambda account, seq: 1)


def greedy(patched: pytest.MonkeyPatch) -> None:
    purge = Stream.purge
    patched.setattr(Stream, "purge", lambda stream, subject="", seq=0, keep=0: purge(stream, subject, seq + 1 if seq else 0, keep))


@pytest.mark.parametrize("broken", [forgetful, careless, greedy])
def test_a_server_with_a_defect_is_told_from_the_real_one(
    url: str, broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def play_all() -> None:
        for seed in range(SCRIPTS):
            play(url, lambda pair, seed=seed: Play(pair, Random(seed)).run(STEPS))

    broken(monkeypatch)
    with pytest.raises(AssertionError, match="simulated:"):
        play_all()


@pytest.mark.parametrize(
    "seed", [*range(SCRIPTS), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(SCRIPTS, SCRIPTS_SOAKED))]
)
def test_scripts_by_chance_see_the_same_on_both(url: str, seed: int) -> None:
    async def script(pair: Pair) -> None:
        await Play(pair, Random(seed)).run(STEPS)

    play(url, script)
