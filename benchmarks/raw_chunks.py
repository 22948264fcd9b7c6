"""The ceiling of the object store: chunks of the same size through a stream, and nothing else. No arena, no engine, no checksums.

    python -m benchmarks.raw_chunks --role write|read --url URL

The writer publishes with a window of chunks in flight; the reader gets them as they are stored. Asked on `raw.measure` for so many
bytes, the writer answers with two times: from the first publish until the reader had the last chunk (`through_s`), and what the reader
took to read the same chunks once more (`read_s`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from .loops import run_in_loop

STREAM, SUBJECT = "RAW", "raw.chunk"
MEASURE, READY, READ = "raw.measure", "raw.ready", "raw.read"
CHUNK_BYTES = 512 << 10
IN_FLIGHT, FETCHED = 16, 32
ANSWER_S, LOOK_S = 120.0, 0.02


async def write(url: str) -> None:
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(StreamConfig(name=STREAM, subjects=[SUBJECT]))

    async def measure(message: Msg) -> None:
        size = json.loads(message.data)["bytes"]
        body = os.urandom(size)
        first = (await stream.stream_info(STREAM)).state.last_seq + 1
        question = json.dumps({"first": first, "bytes": size}).encode()
        began = time.monotonic()
        reading = asyncio.ensure_future(connection.request(READ, question, timeout=ANSWER_S))
        await _publish_all(connection, body)
        through_s = json.loads((await reading).data)["ended"] - began
        again = json.loads((await connection.request(READ, question, timeout=ANSWER_S)).data)
        await stream.purge_stream(STREAM)
        await message.respond(json.dumps({"through_s": through_s, "read_s": again["ended"] - again["began"]}).encode())

    await _answered(connection, READY)
    await connection.subscribe(MEASURE, cb=measure)
    await asyncio.Event().wait()


async def _answered(connection: Client, subject: str) -> None:
    """Wait until somebody answers: the other end has come up."""
    while True:
        try:
            await connection.request(subject)
            return
        except (NoRespondersError, NoAnswer):
            await asyncio.sleep(LOOK_S)


async def _publish_all(connection: Client, body: bytes) -> None:
    stream, window = connection.jetstream(), asyncio.Semaphore(IN_FLIGHT)

    async def publish(start: int) -> None:
        try:
            await stream.publish(SUBJECT, body[start : start + CHUNK_BYTES])
        finally:
            window.release()

    publishing = []
    for start in range(0, len(body), CHUNK_BYTES):
        await window.acquire()
        publishing.append(asyncio.create_task(publish(start)))
    await asyncio.gather(*publishing)


async def read(url: str) -> None:
    connection = await nats.connect(url)

    async def on_question(message: Msg) -> None:
        asked = json.loads(message.data)
        began = time.monotonic()
        await _read_all(connection, asked["first"], asked["bytes"])
        await message.respond(json.dumps({"began": began, "ended": time.monotonic()}).encode())

    async def on_ready(message: Msg) -> None:
        await message.respond(b"")

    await connection.subscribe(READ, cb=on_question)
    await connection.subscribe(READY, cb=on_ready)
    await asyncio.Event().wait()


async def _read_all(connection: Client, first: int, size: int) -> None:
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    subscription = await connection.jetstream().pull_subscribe(SUBJECT, stream=STREAM, config=config)
    body, have = bytearray(size), 0
    while have < size:
        for message in await subscription.fetch(min(FETCHED, -((have - size) // CHUNK_BYTES)), timeout=ANSWER_S):
            body[have : have + len(message.data)] = message.data
            have += len(message.data)
    await subscription.unsubscribe()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw_chunks", description="An end of the raw pipeline of chunks.")
    parser.add_argument("--role", choices=("write", "read"), required=True)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    run_in_loop(write(options.url) if options.role == "write" else read(options.url))


if __name__ == "__main__":
    main()
