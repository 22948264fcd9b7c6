"""A single run on the command line: its waiting is explained, its result printed."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..broker.cli.outcome import show
from ..broker.cli.printing import complain
from ..broker.engine import Blocked
from ..broker.study.words import in_words
from ..schemas.cli import FAILED
from ..schemas.errors import EventRejected
from ..schemas.plan.plan import Plan
from .local_run import LocalRun
from .runner import LocalRunner
from .unheard import unheard
from .virtual_clock import VirtualClock

PATIENCE_S = 0.25
"""How long a run may wait for something before the command says for what."""


async def run_single(
    runner: LocalRunner, plan: Plan, event: Any, *, trigger: str | None, run_id: str | None, signals: list[tuple[str, Any]], form: str
) -> int:
    """Run the flow once, and to their ends the detached sub-flows that it starts. Returns the exit code."""
    async with runner:
        try:
            run = runner.start(plan, event, trigger=trigger, run_id=run_id)
        except EventRejected as error:
            complain(error)
            return FAILED
        for name, value in signals:
            run.signal(name, value)
        try:
            await _watch(run, runner)
        except asyncio.CancelledError:
            click.echo(_interrupted(run), err=True)
            raise
        result = await run.result()
        show(result, form)
        for line in unheard(run, signals):
            click.echo(line, err=True)
        if run.stuck_on:
            _hint_at_signals(isinstance(runner.clock, VirtualClock))
        await runner.drain()
    return 0 if result.completed else FAILED


def _interrupted(run: LocalRun) -> str:
    """What Ctrl-C leaves behind: a run that is killed undoes nothing."""
    done = [key for key, view in run.nodes().items() if view.status == "completed"]
    left = f"{', '.join(done)}, {'it was' if len(done) == 1 else 'they were'} not undone" if done else "nothing yet"
    return f"interrupted: run {run.id} had completed {left}"


async def _watch(run: LocalRun, runner: LocalRunner) -> None:
    """Wait for the run's end, and say what it waits for if that takes long and nothing is at work."""
    said: list[Blocked] = []
    hinted = False
    while not run.ended.done():
        await asyncio.wait([run.ended], timeout=PATIENCE_S)
        waits = run.blocked_on()
        if not waits or waits == said or any(wait.reason == "task" for wait in waits):
            continue
        said = waits
        click.echo("waiting: " + "; ".join(in_words(wait, runner.clock.now_ms()) for wait in waits), err=True)
        if not hinted and any(wait.reason in ("approval", "signal", "event") for wait in waits):
            hinted = True
            _hint_at_signals(isinstance(runner.clock, VirtualClock))


def _hint_at_signals(virtual_time: bool) -> None:
    """How to go on with a run that waits for somebody; `virtual_time`: whether time jumps already."""
    click.echo(
        "    hint: send signals and answers with --signal 'NAME=JSON', e.g. --signal 'order-7={\"decision\": \"approve\"}';", err=True
    )
    jump = "" if virtual_time else ", --virtual-time skips all waiting"
    click.echo(f"          --run-id makes names that contain the run's id known beforehand{jump}", err=True)
