"""The nodes of the faults' flows. Whatever begins to be executed stands in the ledger before anything else happens.

The ledger's file is named by the flow's `settings.env`. A worker loads this file by its path.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, node

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a worker that was started by its command does not know the tests

from tests.faults.noting import SLOW, note

WORK_S = 0.05 * float(os.environ.get(SLOW, "1"))
"""At most, at random: something is in work whenever a process is killed."""


@node("w.work")
async def work(value: Any, context: Context) -> Any:
    """Works a little."""
    note(context)
    await asyncio.sleep(random.uniform(0, WORK_S))
    return value


@node("w.inline", mode="inline")
def inline(value: Any, context: Context) -> Any:
    note(context)
    return value
