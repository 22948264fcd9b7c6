"""Missed times: what becomes of those that passed while nobody could take them.

A time is missed when it is more than a grace late, by the server's clock: all processes were away, the trigger was paused, or the run
before it was waited for. What is less late than that fires as if nothing had happened, one time after the other.

Pure. What is decided here is written into the chain before anything fires, so a process that dies in between decides nothing a second time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ....schemas.flow.triggers.cron import CronParams
from .schedule import Times
from .tick import Tick, milliseconds

GRACE = timedelta(minutes=1)
COUNTED_MAX = 1_000
"""So many missed times are counted; more of them are called as many."""


def is_missed(tick: Tick, params: CronParams, now: datetime) -> bool:
    """Whether it has to be decided what becomes of the tick."""
    return not tick.is_decided and tick.time <= _limit(tick, params, now)


def caught_up(tick: Tick, params: CronParams, now: datetime) -> Tick | None:
    """The tick to go on with instead of a missed one; None: there is none any more.

    `skip`: the first that is not missed. `one`: the last missed one. `all`: the first of the last `catch_up_max` missed ones.
    """
    times, limit = Times(params), _limit(tick, params, now)
    kept = {"skip": 0, "one": 1, "all": params.catch_up_max}[params.catch_up]
    found = times.latest(tick.time - timedelta(seconds=1), limit, max(COUNTED_MAX, kept))
    chosen = found[max(0, len(found) - kept) :]
    first, until = (chosen[0], milliseconds(chosen[-1])) if chosen else (times.next(limit), 0)
    if first is None:
        return None
    missed = tick.missed + len(found) - len(chosen)
    return msgspec.structs.replace(tick, at=milliseconds(first), until=until, missed=missed, held=False)


def _limit(tick: Tick, params: CronParams, now: datetime) -> datetime:
    """Times up to this one are missed. Of a paused trigger all are that came before it was resumed."""
    grace = timedelta() if tick.held else GRACE
    return now - grace - timedelta(milliseconds=params.jitter_ms)
