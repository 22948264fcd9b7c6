"""A program that fires a trigger of its own, in the same process, and waits for what comes of it.

    jetfleet up examples/embedded_trigger.yaml --ephemeral
    python examples/embedded_trigger.py

The second command goes into a terminal of its own.
"""

import asyncio
import sys

from jetfleet.broker import Client
from jetfleet.triggers import Triggers, inject


async def main(*url: str) -> None:
    async with await Client.connect(*url) as client, Triggers(client, types=("memory",)) as triggers:
        fate = await inject(triggers, "clicks", "page", {"page": "/home"}, key="click-1")  # on disk; the same key is the same run
        result = await (await client.handle(fate.run("clicks"))).result()  # raises why, if the flow refused the event
        print(result.status, result.output)


asyncio.run(main(*sys.argv[1:]))
