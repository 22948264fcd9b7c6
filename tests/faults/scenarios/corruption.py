"""F17: the server's files are damaged, or an old backup is put in their place: nobody goes on with what is left without saying so."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from jetfleet.broker.client import Connection, Hole
from jetfleet.broker.deployment import StreamGone
from jetfleet.broker.high_water import HighWater, WalWentBack
from jetfleet.schemas import subjects

from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, PUBLISHER, SERVER, Shape, World, world

RATE = 40
WARM = 40
SAID_S = 20
PARTITION = 0
LOUD = (WalWentBack.code, StreamGone.code, Hole.code, "a WAL is damaged", "it stays closed")
Seen = Mapping[int, bytes]
"""The messages of a WAL, by sequence."""


async def play(settings: Settings) -> Outcome:
    kinds = [(kind, running) for running in (False, True) for kind in DAMAGES]
    outcome = Outcome("corruption", settings.count(len(kinds), 2))
    for number in range(outcome.n):
        kind, running = kinds[number % len(kinds)]
        async with world(Shape(rate=RATE, triggers=0, coordinators=1), settings.seed + number) as one:
            complaint = await damage(one, kind, running, outcome)
            outcome.complaints += [f"{kind}, coordinators {'running' if running else 'stopped'}: {complaint}"] if complaint else []
    return outcome


async def damage(one: World, kind: str, running: bool, outcome: Outcome) -> str:
    """Why that went wrong; nothing where it was told, or nothing is missing."""
    backup = one.folder / "backup"
    one.publish()
    await one.ended(WARM // 2)
    if kind == "an old backup":
        one.kill(SERVER)
        shutil.copytree(one.server.data, backup)
        await one.start_server()
    await one.ended(WARM)
    for name in one.alive(PUBLISHER):
        one.kill(name)
    await remembered(one)
    one.leave_alone(COORDINATOR)
    for name in () if running else one.names(COORDINATOR):
        one.kill(name)
    before = await wal(one)
    one.kill(SERVER)
    if kind == "an old backup":
        shutil.rmtree(one.server.data)
        shutil.copytree(backup, one.server.data)
    else:
        DAMAGES[kind](one.server.data / "jetstream" / "$G" / "streams" / subjects.wal_stream(PARTITION) / "msgs")
    outcome.faults[kind] += 1
    outcome.acked += len(one.ledger.account().runs)
    said_before = {name: one.children[name].last_lines(10_000).count("\n") for name in one.names(COORDINATOR)}
    await one.start_server()
    for name in () if running else one.names(COORDINATOR):
        one.start(name, supervised=False)
    missing = {seq: data for seq, data in before.items() if (await wal(one)).get(seq) != data}
    if not missing:
        outcome.notes.append(f"{kind}: the server mended it, nothing is missing")
        return ""
    outcome.notes.append(f"{kind}: {len(missing)} of {len(before)} messages of the WAL are missing")
    return await told(one, said_before)


async def remembered(one: World) -> None:
    """Wait until the coordinator's mark is as far as the WAL, and on its disk: it is written every 2 s."""
    async with asyncio.timeout(SAID_S):
        while HighWater(one.folder / COORDINATOR, one.server.url).seen(subjects.wal_stream(PARTITION)) != max(await wal(one)):
            await asyncio.sleep(0.05)


async def wal(one: World) -> Seen:
    async with await Connection.open(one.server.url, name="judge") as connection:
        return {each.seq: each.data async for each in connection.streams.read(subjects.wal_stream(PARTITION))}


async def told(one: World, said_before: Mapping[str, int]) -> str:
    """Wait for a coordinator to say that something is missing."""
    ends_at = asyncio.get_running_loop().time() + SAID_S
    lines: list[str] = []
    while asyncio.get_running_loop().time() < ends_at:
        lines = [line for name, count in said_before.items() for line in one.children[name].last_lines(10_000).splitlines()[count:]]
        if any(word in line for line in lines for word in LOUD):
            return ""
        await asyncio.sleep(0.05)
    return f"went on in silence: {lines[-3:]}"


def flip_first(messages: Path) -> None:
    _flip(_blocks(messages)[0], 0.3)


def flip_last(messages: Path) -> None:
    _flip(_blocks(messages)[-1], 0.7)


def cut_short(messages: Path) -> None:
    block = _blocks(messages)[-1]
    with block.open("r+b") as file:
        file.truncate(block.stat().st_size // 2)


def delete_index(messages: Path) -> None:
    for file in messages.glob("index.db"):
        file.unlink()


def _flip(block: Path, place: float) -> None:
    at = int(block.stat().st_size * place)
    with block.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _blocks(messages: Path) -> list[Path]:
    return sorted(messages.glob("*.blk"), key=lambda block: int(block.stem))


def _nothing(messages: Path) -> None:
    """A backup is put in place as a whole."""


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "a bit in the first block": flip_first,
    "an old backup": _nothing,
    "a bit in the last block": flip_last,
    "half of the last block": cut_short,
    "no index": delete_index,
}
