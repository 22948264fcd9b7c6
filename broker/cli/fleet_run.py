"""A run on the fleet from the command line: deploy if it is a file, start, tell what happens, print what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ...schemas.cli import FAILED
from ...schemas.errors import UsageError
from ..api import Client, RunHandle
from .event_input import lines_file, read_value
from .many import Many
from .printing import note
from .watching import print_outcome, watch

KNOWN_EVERY_S = 0.02


async def run_on_fleet(
    client: Client,
    flow: str,
    *,
    input: str | None,
    trigger: str | None,
    nodes: tuple[str, ...],
    signals: list[tuple[str, Any]],
    key: str | None,
    parallel: int,
    form: str,
) -> int:
    """Returns the exit code. `flow` is a deployed name or a file; `input` as on the command line. Raises JetfleetError."""
    lines = lines_file(input)
    if lines is not None and (key is not None or signals):
        raise UsageError("--id and --signal are for one run, and a file with one event per line makes many; leave one of the two out")
    value = None if lines is not None else read_value(input)
    name = await _deployed(client, flow, nodes)
    if lines is not None:
        return await Many(client, name, trigger, parallel=parallel, wait=True, form=form).run(lines)
    handle = await client.start(name, value, id=key, trigger=trigger)
    if handle.held:
        note(f"note: {handle.held}")
    for signal, said in signals:
        await _until_known(client, handle)
        await handle.signal(signal, said)
    result = await watch(client, handle)
    await print_outcome(client, result, form)
    return 0 if result.completed else FAILED


async def _deployed(client: Client, flow: str, nodes: tuple[str, ...]) -> str:
    """The name of the flow, which is deployed now if it is a file."""
    if client.flows.version(flow) is not None or not Path(flow).is_file():
        client.require(flow)
        return flow
    found = await client.deploy(flow, nodes=nodes)
    if found.changed:
        note(f"deployed: {found.name} {found.version}")
    return found.name


async def _until_known(client: Client, handle: RunHandle) -> None:
    """A signal to a run that has not begun would be lost on it."""
    while await client.look(handle.id) is None and await client.outcome(handle.id) is None:
        await asyncio.sleep(KNOWN_EVERY_S)
