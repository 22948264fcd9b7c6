"""Streams of the simulated server are to its clients what those of the real one are: scripts on both, and on both they see the same."""

from __future__ import annotations

import asyncio

from .conformance import Pair, play


def test_streams_are_made_changed_shown_and_refused_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_messages_are_stored_dropped_as_duplicates_and_refused_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_limits_drop_the_oldest_or_refuse_the_newest_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_messages_are_found_purged_and_deleted_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_batches_are_stored_whole_or_refused_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_schedules_fire_and_are_replaced_alike(real_url: str) -> None:
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

    play(real_url, script)
