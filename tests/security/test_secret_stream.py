"""The secret that signs tokens lies apart; a deployment that had it in FLEET keeps its tokens."""

from __future__ import annotations

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import deployed, ensure
from jetfleet.broker.tokens import SUBJECT, Tokens
from jetfleet.broker.topology import VERSION, Topology
from jetfleet.schemas import messages, subjects

from ..fleet.running import run

BEFORE = ["member.>", "lease.>", subjects.TOPOLOGY, "secret.>"]


async def as_it_was(connection: Connection) -> str:
    """A deployment of version 5, and a token of it."""
    made = await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
    await connection.streams.delete_stream(subjects.SECRETS)
    fleet = await connection.streams.stream_info(subjects.FLEET)
    assert fleet is not None
    await connection.streams.create_or_update_stream({**fleet["config"], "subjects": BEFORE})
    before = messages.encode(type(made)(5, made.partitions, made.replicas, made.store_bytes, made.created_at, True))
    await connection.publisher.publish(subjects.TOPOLOGY, before)
    tokens = Tokens(connection)
    await tokens.start()
    token = tokens.sign("run", (1,), 1)
    await tokens.stop()
    assert await connection.streams.last(subjects.FLEET, SUBJECT) is not None
    return token


def test_a_deployment_of_before_keeps_its_tokens_and_loses_its_leak(fresh_url: str) -> None:
    async def test() -> None:
        async with await Connection.open(fresh_url, name="test") as connection:
            token = await as_it_was(connection)
            assert (await ensure(connection)).version == VERSION
            tokens = Tokens(connection)
            await tokens.start()
            assert (await tokens.read(token)).run == "run"
            await tokens.stop()
            assert await connection.streams.last(subjects.FLEET, SUBJECT) is None
            assert await connection.streams.last(subjects.SECRETS, SUBJECT) is not None

    run(test())


def test_a_client_of_today_reads_tokens_of_a_deployment_that_no_coordinator_has_changed_yet(fresh_url: str) -> None:
    async def test() -> None:
        async with await Connection.open(fresh_url, name="test") as connection:
            token = await as_it_was(connection)
            tokens = Tokens(connection)
            await tokens.start()
            assert (await tokens.read(token)).run == "run"
            await tokens.stop()
            found = await deployed(connection)
            assert found is not None and found.version == 5

    run(test())
