"""A program that sends to a queue until it is killed. Its arguments: the server's URL, the name of the queue. It prints the ids that are stored."""

from __future__ import annotations

import asyncio
import sys

from jetfleet.broker.api import Client

AT_ONCE = 200


async def main(url: str, name: str) -> None:
    async with await Client.connect(url) as client:
        queue = client.queue(name)
        number = 0
        while True:
            ids = range(number, number + AT_ONCE)
            for id in await asyncio.gather(*(queue.send(each, id=f"k{each}") for each in ids)):
                print(id)
            sys.stdout.flush()
            number += AT_ONCE


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
