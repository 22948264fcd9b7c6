"""Freeing what lies in an arena, by hand: one round of the keeper, whose lock it takes."""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import UsageError
from ..arena.keeper import Keeper, Swept
from ..arena.settings import ArenaSettings
from ..credentials import Credentials
from ..payloads.run_states import RunStates
from .options import connect
from .printing import note


async def free(arena: Path, url: str | None, credentials: Credentials | None) -> Swept:
    """One round. `url`: of the fleet whose runs these are; none: what belongs to a run stays, as nobody can say that it is over.

    Raises UsageError if somebody else is at it, ArenaUnusable, BrokerError.
    """
    keeper = Keeper(ArenaSettings(arena, keep_s=0))
    if not keeper.acquire():
        raise UsageError(
            f"a worker keeps the arena {arena} already: it frees what has ended (--arena-keep), and at once when room is short"
        )
    try:
        if not url:
            note("without --nats nobody says which runs are over: only what dead processes left behind is freed")
            return await keeper.sweep(_none)
        async with await connect(url, credentials) as client:
            return await keeper.sweep(RunStates(client.connection, client.partitions).over)
    finally:
        keeper.release()


async def _none(runs: set[str]) -> set[str]:
    return set()
