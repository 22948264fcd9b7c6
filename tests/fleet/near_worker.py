"""A worker near an arena, as a process that a test can kill: `python -m tests.fleet.near_worker URL FOLDER HOST`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from .worker_processes import worker


async def main(url: str, data: Path, host: str) -> None:
    async with worker(url, data, host=host):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
