"""A process that serves kafka triggers, for tests that kill it.

python serving.py NATS_URL FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from jetfleet.broker.api import Client
from jetfleet.triggers import Triggers


async def serve(url: str, folder: Path) -> None:
    async with await Client.connect(url) as client, Triggers(client, types=("kafka",), data=folder):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
