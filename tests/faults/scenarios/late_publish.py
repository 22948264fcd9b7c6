"""F15: publishes whose answers are lost are unknown to the publisher; repeated with the same id they are recognised, and change nothing."""

from __future__ import annotations

import asyncio

import msgspec

from jetfleet.broker.client import Connection, Unknown, WrongSequence
from jetfleet.schemas import subjects

from ...client.proxy import Proxy
from .. import flows
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import Shape, World, world

TIMES, TIMES_QUICK = 20, 4
TOGETHER = 10
"""So many events are under way when the network fails."""
ANSWER_S = 0.5
FENCED, FENCED_S = "FENCED", 20.0


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    async with world(Shape(publishers=0, triggers=0, readers=0), settings.seed) as one, Proxy(one.server.port) as network:
        async with await Connection.open(network.url, name="publisher") as connection:
            wrong: list[str] = []
            for turn in range(times):
                wrong += await _lose_answers(one, network, connection, turn)
            wrong += await _fenced(one, network, connection, times)
        outcome = await judge("late_publish", times, one)
    outcome.complaints += wrong
    return outcome


async def _lose_answers(one: World, network: Proxy, connection: Connection, turn: int) -> list[str]:
    """Every other time the messages themselves are lost. What is wrong with what the server says afterwards."""
    stored = turn % 2 == 0
    if stored:
        network.deafen()
    else:
        network.mute()
    one.ledger.fault("answers lost" if stored else "publishes lost", f"turn {turn}")
    keys = [f"{flows.CHAIN}/late-{turn}-{number}" for number in range(TOGETHER)]
    answers = await asyncio.gather(*(_publish(connection, key, ANSWER_S) for key in keys), return_exceptions=True)
    for key in keys:
        one.ledger.unknown(key)
    network.cut()
    one.ledger.healed("answers lost" if stored else "publishes lost")
    wrong = [f"{key}: {answer!r} instead of Unknown" for key, answer in zip(keys, answers, strict=True) if not isinstance(answer, Unknown)]
    for key in keys:
        duplicate = await _publish(connection, key, FENCED_S)
        one.ledger.resolved(key, "stored" if duplicate else "absent")
        one.ledger.acked(key, subjects.run_id(flows.CHAIN, key))
        if duplicate != stored:
            wrong.append(
                f"{key}: published again it is {'a duplicate' if duplicate else 'new'}, and it {'had' if stored else 'had not'} arrived"
            )
    return wrong


async def _publish(connection: Connection, key: str, deadline_s: float) -> bool:
    """Whether the stream had it already."""
    body = msgspec.json.encode(flows.payload(0))
    answer = await connection.publisher.publish(subjects.event(flows.CHAIN, "go"), body, id=key, deadline_s=deadline_s)
    return answer.duplicate


async def _fenced(one: World, network: Proxy, connection: Connection, times: int) -> list[str]:
    """The same with an expected sequence: the server refuses the repetition (10071), and it is found to be one's own."""
    await one.connection.streams.create_or_update_stream({"name": FENCED, "subjects": ["fenced.>"], "storage": "file"})
    wrong = []
    for turn in range(times):
        subject = f"fenced.{turn}"
        network.deafen()
        one.ledger.fault("answers lost", subject)
        publish = asyncio.ensure_future(connection.publisher.publish(subject, b"mine", expect_last_subject_seq=0, deadline_s=FENCED_S))
        while (stored := await one.connection.streams.last(FENCED, subject)) is None:
            await asyncio.sleep(0.01)
        network.cut()
        one.ledger.healed("answers lost")
        answer = await publish
        if answer.seq != stored.seq:
            wrong.append(f"{subject}: stored at {stored.seq}, and the publisher was told {answer.seq}")
        wrong += await _refused(connection, subject)
    return wrong


async def _refused(connection: Connection, subject: str) -> list[str]:
    """Somebody else's message there is never taken for one's own."""
    try:
        await connection.publisher.publish(subject, b"another", expect_last_subject_seq=0, deadline_s=FENCED_S)
    except WrongSequence:
        return []
    return [f"{subject}: a second message was stored although none was expected there"]
