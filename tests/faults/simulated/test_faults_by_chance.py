"""Faults of the simulated server that come by chance: each kind does, the same ones for the same seed, and what is healed is whole."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from jetfleet.broker.client import Message, Pull

from .faults import KINDS, PER_SECOND
from .stage import Stage, consumer, made, play, until

RATES = {"answer_lost": 0.05, "publish_lost": 0.05, "stalled": 0.01, "ack_lost": 0.1, "delivered_twice": 0.1, "cut": 0.3, "held": 0.2,
         "deaf": 0.1, "server_killed": 0.1, "server_stopped": 0.1, "rewound": 0.2, "consumer_lost": 0.1, "latched": 0.05}  # fmt: skip


async def troubled(stage: Stage) -> None:
    """Messages through a work queue, with everything going wrong; then nothing any more."""
    connection, worker = await stage.connection(), await stage.connection("worker")
    await made(connection, retention="workqueue")
    await consumer(worker)
    heard: set[bytes] = set()

    def take(message: Message) -> None:
        heard.add(message.data)
        message.done()

    pull = Pull(worker, "S", "d", take, room=lambda: 10, repair=lambda: consumer(worker))
    await pull.start()
    stage.faults.start()
    sent = []
    for number in range(60):
        sent.append(connection.publisher.submit(f"s.{number % 3}", b"%d" % number, deadline_s=600))
        await asyncio.sleep(0.5)
    stage.faults.heal()
    await asyncio.wait_for(asyncio.gather(*sent), 30)
    await until(lambda: not stage.stored())
    assert heard == {b"%d" % number for number in range(60)}
    await pull.stop()


@pytest.mark.parametrize("seed", range(8))
def test_after_all_faults_are_healed_everything_arrives(seed: int) -> None:
    stage = play(troubled, seed=seed, **RATES)
    assert stage.faults.counts.total() > 10


def test_every_kind_of_fault_comes_by_chance() -> None:
    seen: set[str] = set()
    for seed in range(20, 60):
        stage = play(troubled, seed=seed, **RATES)
        seen |= set(stage.faults.counts)
        if seen >= set(RATES):
            break
    assert seen >= set(RATES)
    assert set(RATES) == set(KINDS) - {"tail_lost"}
    assert set(PER_SECOND) <= set(KINDS)


def test_a_seed_does_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, other = (_troubles_of(seed, monkeypatch) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def _troubles_of(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    chance = Random(7)
    for module in ("inbox", "publisher", "pull"):
        monkeypatch.setattr(f"jetfleet.broker.client.{module}.token_hex", lambda size: chance.randbytes(size).hex())
    stage = play(troubled, seed=seed, **RATES)
    return [(kind, detail) for _, kind, detail in stage.faults.history]
