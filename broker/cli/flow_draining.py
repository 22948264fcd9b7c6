"""`jetfleet flow drain`: start no more runs of a flow, or end those of one version; and wait until none is open.

    0    drained, or told to drain (--no-wait)        1    somebody has resumed it before it was drained

Whoever interrupts it ends the waiting and nothing else: what was decided is done.
"""

from __future__ import annotations

import asyncio
import time

import click

from ...schemas.cli import FAILED
from ...schemas.messages import Drain
from ..api import Client, FlowView
from ..study.words import span
from .flow_pausing import reason_option, warn_unfollowed
from .options import with_client
from .printing import note

LOOK_S, SAY_S = 0.25, 2.0
"""How often it is looked, and told at most."""


@click.command("drain")
@click.argument("flow")
@click.option("--version", default="", metavar="VERSION", help="Only the runs of this version: its name, or the beginning of its digest.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Cancel what is open after so long; 0: at once.")
@click.option("--grace", "grace_s", type=click.FloatRange(0), metavar="SECONDS", help="Kill what is still open so long after that.")
@click.option("--no-wait", is_flag=True, help="Return at once.")
@reason_option
@with_client
async def drain_command(
    client: Client, flow: str, version: str, timeout_s: float | None, grace_s: float | None, no_wait: bool, reason: str
) -> int:
    """Start no runs of a flow, and wait until none is open. Its events wait until it is resumed.

    Without --timeout and --grace the times of the flow's settings count (drain_timeout_ms, drain_grace_period_ms).
    """
    view = await client.drain_flow(flow, version, timeout_ms=_ms(timeout_s), grace_ms=_ms(grace_s), reason=reason)
    warn_unfollowed(view)
    name = f"{flow} {version}".rstrip()
    if no_wait:
        note(f"draining: {name}")
        return 0
    return 0 if await watch_drain(client, view, version) else FAILED


async def watch_drain(client: Client, view: FlowView, version: str = "") -> bool:
    """Tell how it goes until nothing is open. False: somebody has resumed it. `view` is the one that the decision came to."""
    digest = client.definition(view.flow, version).digest if version else ""
    name, said, said_at = f"{view.flow} {version}".rstrip(), -1, 0.0
    while view.drains(digest):
        open = _open(view, digest)
        if open != said and time.monotonic() - said_at > SAY_S:
            note(f"draining: {name}: {_progress(view, digest)}")
            said, said_at = open, time.monotonic()
        await asyncio.sleep(LOOK_S)
        view = await client.flow(view.flow)
    if not digest and not view.drained:
        note(f"not drained: {name} is {view.condition} again")
        return False
    note(f"drained: {name}")
    return True


def _open(view: FlowView, digest: str) -> int:
    version = view.version(digest)
    return view.open if version is None else version.open


def _progress(view: FlowView, digest: str) -> str:
    version, open = view.version(digest), _open(view, digest)
    drain = view.drain if version is None else version.drain
    silent = f", {len(view.silent)} partitions do not answer" if view.silent else ""
    return f"{open:,} {'run' if open == 1 else 'runs'} open" + (f", {_next(drain)}" if drain is not None else "") + silent


def _next(drain: Drain) -> str:
    now = time.time_ns() // 1_000_000
    if now < drain.cancel_at:
        return f"cancelled in {span((drain.cancel_at - now) // 1_000 * 1_000)}"
    return f"killed in {span(max(drain.kill_at - now, 0) // 1_000 * 1_000)}"


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1_000)
