"""F7: the same with `--sync 1s`: what was acknowledged of late is gone, and whoever remembers says so, stops, and does not start again.

An operator accepts the loss then, and the fleet goes on with what is left. In every second round the streams themselves had never been
flushed before the cut, and are gone with all that is in them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.high_water import WalWentBack
from jetfleet.schemas import subjects

from ..accepting import accept_loss
from ..machine.loop_disk import LoopDisk, loop_disk
from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, PUBLISHER, Shape, World, world
from .power_cut import BETWEEN_S, WARM, cut_power

CUTS, CUTS_QUICK = 6, 1
RATE = 30
STOPPED_S = 20
DAMAGED = "a WAL is damaged"


async def play(settings: Settings) -> Outcome:
    outcome = Outcome("power_cut_relaxed", settings.count(CUTS, CUTS_QUICK))
    for number in range(outcome.n):
        with tempfile.TemporaryDirectory(prefix="jetfleet-power-") as folder, loop_disk(Path(folder)) as disk:
            shape = Shape(rate=RATE, triggers=0, data=disk.path / "store", server={"sync": "1s"})
            async with world(shape, settings.seed + number) as one:
                await _play_one(one, disk, flushed=number % 2 == 0, outcome=outcome)
    return outcome


async def _play_one(one: World, disk: LoopDisk, flushed: bool, outcome: Outcome) -> None:
    if flushed:
        disk.flush()
    one.publish()
    await one.ended(WARM)
    await asyncio.sleep(one.random.uniform(*BETWEEN_S))
    one.leave_alone(COORDINATOR)
    await cut_power(one, disk)
    outcome.faults["power_cut server"] += 1
    seen = {entry.partition: (entry.seq, entry.at_ns) for entry in one.recorder.entries}
    lost = await lost_ends(one, seen)
    if not lost:
        outcome.notes.append("nothing was lost of what anybody had seen")
        return
    if not await stopped(one, lost, outcome):
        return
    for name in one.alive(PUBLISHER):
        one.kill(name)
    outcome.complaints += await refused_again(one, lost)
    await accept_loss(one)
    outcome.acked += len(one.ledger.account().runs)
    outcome.ended += len(one.watcher.ends)
    outcome.notes.append(
        f"{'flushed' if flushed else 'fresh'} streams: {', '.join(sorted(lost.values()))}; said by all, accepted, and on it went"
    )


async def lost_ends(one: World, seen: Mapping[int, tuple[int, int]]) -> dict[int, str]:
    """By partition what became of a WAL whose last record, as somebody saw it, is not there any more."""
    found = {}
    async with await Connection.open(one.server.url, name="judge") as connection:
        for partition, (seq, at_ns) in seen.items():
            stream = subjects.wal_stream(partition)
            info = await connection.streams.stream_info(stream)
            if info is None:
                found[partition] = f"{stream} is gone"
                continue
            stored = await connection.streams.get(stream, seq)
            if info["state"]["last_seq"] < seq:
                found[partition] = f"{stream} lost {seq - info['state']['last_seq']} messages"
            elif stored is not None and stored.time_ns != at_ns:
                found[partition] = f"{stream} has others where {seq} was"
    return found


async def went_on(one: World, lost: Mapping[int, str]) -> list[str]:
    """Of each coordinator that did not stop, or did not say why."""
    return [complaint for name in one.names(COORDINATOR) if (complaint := await _said(one, name, lost))]


async def stopped(one: World, lost: Mapping[int, str], outcome: Outcome) -> bool:
    """Whether they stopped. Where only the last half second is gone they may instead say so and take the partition over anew, from the log."""
    complaints = await went_on(one, lost)
    said = [DAMAGED in one.children[name].last_lines(10_000) for name in one.alive(COORDINATOR)]
    if complaints and said and all(said):
        outcome.notes.append(f"little was lost ({', '.join(sorted(lost.values()))}), said, and taken over anew from the log")
        return False
    outcome.complaints += complaints
    return not complaints


async def refused_again(one: World, lost: Mapping[int, str]) -> list[str]:
    """The same of those that are started anew."""
    for name in one.names(COORDINATOR):
        one.start(name, supervised=False)
    return await went_on(one, lost)


async def _said(one: World, name: str, lost: Mapping[int, str]) -> str:
    child = one.children[name]
    try:
        code = await child.ended(STOPPED_S)
    except AssertionError:
        return f"{name} goes on, though {lost}:\n{child.last_lines(3)}"
    if code == 1 and WalWentBack.code in child.last_lines(3):
        return ""
    return f"{name} ended with {code}, and not with {WalWentBack.code}:\n{child.last_lines(3)}"
