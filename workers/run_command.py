"""`jetfleet run FLOW --local`: run a flow in this process, once or once per line of a file.

Results go to standard output, everything about their making (log, progress, what a run waits for) to standard error.

    0    completed (all of them)          2    the call makes no sense (which trigger? no such file)
    1    a run failed or was refused      5    the flow is not valid
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click

from ..schemas.cli import FAILED
from ..schemas.errors import EventRejected, UsageError
from ..schemas.flow.node_types import Kind
from ..schemas.plan.plan import Plan
from . import batch, logs, output
from .local_run import LocalRun
from .registry import Registry
from .runner import FlowSource, LocalRunner, compile_source
from .virtual_clock import VirtualClock

WATCH_S = 1.0
"""How often a single run that takes long says what it waits for."""


@click.command("run")
@click.argument("flow", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--local", is_flag=True, help="Run in this process, without a server.")
@click.option("--input", "input_", metavar="JSON|@FILE", help="The event: JSON, @file.json, @- for standard input, or @file.jsonl for one run per line.")
@click.option("--trigger", metavar="ID", help="The trigger that counts as fired, where the flow has several.")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--signal", "signals", multiple=True, metavar="NAME=JSON", help="Send this signal or approval as soon as the run starts. Repeatable.")
@click.option("--virtual-time", is_flag=True, help="Do not wait for delays, retries and timeouts: let time jump.")
@click.option("--slots", type=click.IntRange(1), default=64, show_default=True, help="Attempts that execute at once.")
@click.option("--parallel", type=click.IntRange(1), default=batch.PARALLEL_DEFAULT, show_default=True, help="Runs at once, of a file with one per line.")
@click.option("--log-level", type=click.Choice(list(logs.LEVELS)), help="Least level of the log. Default: info, and error for a file of runs.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def run_command(context: click.Context, flow: Path, local: bool, input_: str | None, form: str, log_level: str | None, **options: Any) -> None:
    """Run a flow."""
    if not local:
        raise UsageError("there is no fleet to run on yet: add --local to run the flow in this process")
    many = input_ is not None and input_.startswith("@") and input_.endswith((".jsonl", ".ndjson"))
    logs.configure(log_level or ("error" if many else "info"))
    registry = Registry()
    for source in options["nodes"]:
        registry.load(source)
    plan = compile_source(flow, registry)
    signals = [_signal(text) for text in options["signals"]]
    runner = LocalRunner(
        registry=registry,
        clock=VirtualClock() if options["virtual_time"] else None,
        slots=options["slots"],
        flows=_siblings(flow, plan),
        keep=not many or form == "json",
    )
    trigger = options["trigger"]
    if many:
        assert input_ is not None
        code = asyncio.run(batch.run_lines(runner, plan, Path(input_[1:]), trigger, signals, options["parallel"], form))
    else:
        code = asyncio.run(_one(runner, plan, batch.read_value(input_), trigger, signals, form))
    context.exit(code)


async def _one(runner: LocalRunner, plan: Plan, event: Any, trigger: str | None, signals: list[tuple[str, Any]], form: str) -> int:
    async with runner:
        try:
            run = runner.start(plan, event, trigger=trigger)
        except EventRejected as error:
            output.complain(error)
            return FAILED
        for name, value in signals:
            run.signal(name, value)
        stuck = await _watch(run)
        result = await run.result()
        output.show(plan, result, form)
        if stuck:
            output.explain_stuck(stuck)
    return 0 if result.completed else FAILED


async def _watch(run: LocalRun) -> str:
    """Wait for the run's end, saying what it waits for. A run that only somebody else could move is ended; why, is returned."""
    said = ""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run.result(), WATCH_S if said else WATCH_S / 4)
            return ""
        reasons = "; ".join(map(str, run.blocked_on()))
        if run.needs_help:
            run.cancel("nobody can send it what it waits for: it runs in a process of its own")
            return reasons
        if reasons != said and not _is_working(run):
            said = reasons
            click.echo(f"waiting: {reasons}", err=True)


def _is_working(run: LocalRun) -> bool:
    return any(reason.reason == "task" for reason in run.blocked_on())


def _signal(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--signal {text!r} is not NAME=JSON; for an approval write e.g. --signal 'order-7={{\"decision\": \"approve\"}}'")
    return name, batch.read_value(value)


def _siblings(flow: Path, plan: Plan) -> dict[str, FlowSource]:
    """What sub-flows are found in: the definitions beside this one, by name. Those that cannot be read are not there."""
    if not any(node.kind == Kind.SUBFLOW for node in plan.nodes):
        return {}
    found: dict[str, FlowSource] = {}
    for file in sorted(flow.parent.iterdir()):
        if file.suffix in (".yaml", ".yml", ".json") and file.is_file():
            name = output.flow_name(file)
            if name is not None:
                found.setdefault(name, file)
    return found


