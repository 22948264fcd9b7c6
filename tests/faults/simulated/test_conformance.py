"""The simulated server is to its clients what the real one is: after a kill, and in whatever order chance thinks of.

What is told apart by no script of streams or consumers (`test_conformance_of_streams.py`, `test_conformance_of_consumers.py`) is looked for here;
and a simulated server with a defect is found out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ...client.servers import Server
from .account import Account
from .conformance import Pair, play
from .ids import Ids
from .random_scripts import Play
from .streams import Stream

SCRIPTS, SCRIPTS_SOAKED, STEPS = 6, 300, 60
WRITTEN_S = 0.6
"""After so long a real server has written to its disk what a consumer has done."""
WAIT_S = 1
"""How long a consumer waits for an acknowledgement."""


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
    real_url: str, broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def play_all() -> None:
        for seed in range(SCRIPTS):
            play(real_url, lambda pair, seed=seed: Play(pair, Random(seed)).run(STEPS))

    broken(monkeypatch)
    with pytest.raises(AssertionError, match="simulated:"):
        play_all()


@pytest.mark.parametrize(
    "seed", [*range(SCRIPTS), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(SCRIPTS, SCRIPTS_SOAKED))]
)
def test_scripts_by_chance_see_the_same_on_both(real_url: str, seed: int) -> None:
    async def script(pair: Pair) -> None:
        await Play(pair, Random(seed)).run(STEPS)

    play(real_url, script)
