"""Consumers of the simulated server are to its clients what those of the real one are: scripts on both, and on both they see the same."""

from __future__ import annotations

import asyncio

import pytest

from .conformance import Pair, play


def test_consumers_are_made_changed_shown_and_refused_alike(real_url: str) -> None:
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

    play(real_url, script)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_messages_are_given_acknowledged_and_given_again_alike(real_url: str, retention: str) -> None:
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

    play(real_url, script)


def test_what_is_not_acknowledged_in_time_comes_again_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_tails_are_given_everything_from_a_place_on_alike(real_url: str) -> None:
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

    play(real_url, script)


def test_who_waits_is_told_that_the_consumer_is_gone_alike(real_url: str) -> None:
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

    play(real_url, script)
