"""Missed times: what becomes of those that passed while nobody could take them.

A time is missed when it is more than a grace late, by the server's clock: all processes were away, the trigger was paused, or the run
before it was waited for. What is less late than that fires as if nothing had happened, one time after the other.

Made up for is what passed while nobody looked after the trigger. What passed while a run was waited for is left out: else a schedule that
is shorter than its runs would make up for one time while it misses the next, and never come back to the present. Only who wants all times,
one after the other (`all` with `queue`) or however late (`all` with `allow`, `cancel_running`), gets those too.

Pure. What is decided here is written into the chain before anything fires, so a process that dies in between decides nothing a second time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ....schemas.flow.triggers.cron import CronParams
from .schedule import Times
from .tick import Tick, milliseconds, moment

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
    times, until, begun = Times(params), _limit(tick, params, now), _left_out_until(tick, params)
    kept = {"skip": 0, "one": 1, "all": params.catch_up_max}[params.catch_up]
    until = max(until, begun)
    passed = times.latest(tick.time - timedelta(seconds=1), until, max(COUNTED_MAX, kept))
    made_up = [time for time in passed if time > begun]
    chosen = made_up[max(0, len(made_up) - kept) :]
    first, last = (chosen[0], milliseconds(chosen[-1])) if chosen else (times.next(until), 0)
    return _going_on(tick, first, until=last, left_out=len(passed) - len(chosen))


def skipped(tick: Tick, params: CronParams, now: datetime) -> Tick | None:
    """The tick to go on with when the run before this one is still open: the first that may find it ended. None: there is none any more."""
    times, until = Times(params), max(tick.time, now - timedelta(milliseconds=params.jitter_ms))
    passed = times.latest(tick.time - timedelta(seconds=1), until, COUNTED_MAX)
    return _going_on(tick, times.next(until), until=tick.until, left_out=len(passed))


def _going_on(tick: Tick, first: datetime | None, *, until: int, left_out: int) -> Tick | None:
    if first is None:
        return None
    return msgspec.structs.replace(tick, at=milliseconds(first), until=until, missed=tick.missed + left_out, held=False, begun=0)


def _left_out_until(tick: Tick, params: CronParams) -> datetime:
    """Times up to this one are not made up for."""
    all_wanted = params.catch_up == "all" and params.overlap != "skip"
    return moment(0 if all_wanted else tick.begun)


def _limit(tick: Tick, params: CronParams, now: datetime) -> datetime:
    """Times up to this one are missed. Of a paused trigger all are that came before it was resumed."""
    grace = timedelta() if tick.held else GRACE
    return now - grace - timedelta(milliseconds=params.jitter_ms)
