"""The fixtures that every test of the fleet builds on."""

from __future__ import annotations

import asyncio

import nats
import pytest

from .conftest import ServerFactory
from .running import run


async def publish_one(url: str) -> int:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="FIXTURES", subjects=["fixtures"])
    await jetstream.publish("fixtures", b"1")
    messages = (await jetstream.stream_info("FIXTURES")).state.messages
    await client.close()
    return messages


def test_the_server_of_the_session_takes_work_from_any_loop(nats_url: str) -> None:
    assert (run(publish_one(nats_url)), run(publish_one(nats_url))) == (1, 2)


def test_a_fresh_server_is_empty(fresh_url: str, nats_url: str) -> None:
    assert fresh_url != nats_url
    assert run(publish_one(fresh_url)) == 1


def test_a_server_that_was_killed_comes_back_when_told_to_with_its_data(server_factory: ServerFactory) -> None:
    server = server_factory()
    url, pid = server.url, server.pid
    run(publish_one(url))
    server.kill()
    server.restart()
    assert (server.url, server.pid != pid, run(publish_one(url))) == (url, True, 2)


def test_a_coroutine_that_waits_for_nothing_is_ended() -> None:
    with pytest.raises(TimeoutError):
        run(asyncio.Event().wait(), timeout_s=0)
