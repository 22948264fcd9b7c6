"""Keeping the arena: one process per host frees what no run needs any more. Every worker is ready to be that one.

The keeper is whoever has the arena's lock; when it dies the next one takes over within a round. A round that fails, because the broker is
away or the folder is not as it should be, frees nothing and is tried again.
"""

from __future__ import annotations

import asyncio

import structlog

from ...broker.arena.keeper import Keeper
from ...broker.arena.settings import ArenaSettings
from ...broker.client import BrokerError
from ...broker.payloads.run_states import RunStates
from ...schemas.payload_errors import PayloadError

ROUND_S = 1.0
"""Short against how long values are kept after their run, long against what a round costs: a look at a folder, a question per partition."""


async def keep(settings: ArenaSettings, host: str, states: RunStates) -> None:
    """Keep the arena with this id for as long as this is not cancelled."""
    keeper, failed = Keeper(settings, host), ""
    try:
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                if keeper.acquire():
                    await keeper.sweep(states.over)
                failed = ""
            except (PayloadError, BrokerError, OSError) as error:
                if str(error) != failed:  # said once: a round is a second
                    failed = str(error)
                    _log.warning("rounds of the arena's keeper fail, and free nothing", arena=str(settings.folder), error=failed)
            except Exception:  # whatever it is, an arena that nobody keeps fills up
                _log.exception("a defect of jetfleet: a round of the arena's keeper failed", arena=str(settings.folder))
    finally:
        keeper.release()


_log = structlog.get_logger("jetfleet.arena")
