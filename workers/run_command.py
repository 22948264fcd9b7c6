"""`jetfleet run FLOW --local`: run a flow in this process, once or once per line of a file.

Results go to standard output, everything about their making (log, progress, what a run waits for) to standard error.

    0    completed (all of them)          2    the call makes no sense (which trigger? no such file)
    1    a run failed or was refused      5    the flow is not valid
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ..schemas.cli import FAILED
from ..schemas.errors import EventRejected, UsageError
from ..schemas.flow.node_types import Kind
from ..schemas.plan.plan import Plan
from . import logs, output
from .batch import PARALLEL_DEFAULT, Batch, send
from .event_input import lines_file, read_value
from .local_run import LocalRun
from .registry import Registry
from .runner import SLOTS_DEFAULT, LocalRunner
from .sources import FlowSource, choose_trigger, compile_source
from .virtual_clock import VirtualClock

PATIENCE_S = 0.25
"""How long a run may wait for something before the command says for what."""


@click.command("run", short_help="Run a flow, once or once per line of a file.")
@click.argument("flow", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--local", is_flag=True, help="Run in this process, without a server.")
@click.option("--input", "input_", metavar="JSON|@FILE", help="The event: JSON, @file.json, @- for standard input, or @file.jsonl for one run per line.")
@click.option("--trigger", metavar="ID", help="The trigger that counts as fired, where the flow has several.")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--signal", "signals", multiple=True, metavar="NAME=JSON", help="Send this signal or approval as soon as the run starts. Repeatable.")
@click.option("--virtual-time", is_flag=True, help="Do not wait for delays, retries and timeouts: let time jump.")
@click.option("--slots", type=click.IntRange(1), default=SLOTS_DEFAULT, show_default=True, help="Attempts that execute at once.")
@click.option("--parallel", type=click.IntRange(1), default=PARALLEL_DEFAULT, show_default=True, help="Runs at once, of a file with one per line.")
@click.option("--log-level", type=click.Choice(list(logs.LEVELS)), help="Least level of the log. Default: info, and error for a file of runs.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write the result.")
@click.pass_context
def run_command(
    context: click.Context, /, flow: Path, local: bool, input_: str | None, trigger: str | None, form: str, log_level: str | None, **options: Any
) -> None:
    """Run a flow and print what came of it.

    \b
    jetfleet run order.yaml --local --input '{"order_id": 7}'
    jetfleet run order.yaml --local --input @orders.jsonl
    jetfleet run approval.yaml --local --signal 'order-7={"decision": "approve"}'
    """
    if not local:
        raise UsageError("there is no fleet to run on yet; add --local to run the flow in this process")
    lines = lines_file(input_)
    logs.configure(log_level or ("error" if lines else "info"))
    registry = Registry()
    for source in options["nodes"]:
        registry.load(source)
    plan = compile_source(flow, registry)
    trigger = choose_trigger(plan, trigger)
    signals = [_signal(text) for text in options["signals"]]
    runner = LocalRunner(
        registry=registry,
        clock=VirtualClock() if options["virtual_time"] else None,
        slots=options["slots"],
        flows=_siblings(flow, plan),
        keep=lines is None or form == "json",
        unattended=True,
    )
    if lines is not None:
        work = Batch(runner, plan, trigger=trigger, signals=signals, parallel=options["parallel"], form=form).run(lines)
    else:
        work = _one(runner, plan, read_value(input_), trigger, signals, form)
    context.exit(asyncio.run(work))


async def _one(runner: LocalRunner, plan: Plan, event: Any, trigger: str | None, signals: list[tuple[str, Any]], form: str) -> int:
    async with runner:
        try:
            run = runner.start(plan, event, trigger=trigger)
        except EventRejected as error:
            output.complain(error)
            return FAILED
        send(run, signals)
        await _watch(run)
        result = await run.result()
        output.show(plan, result, form)
        if run.stuck_on:
            output.explain_stuck(run.stuck_on)
        await runner.drain()
    return 0 if result.completed else FAILED


async def _watch(run: LocalRun) -> None:
    """Wait for the run's end, and say what it waits for if that takes long."""
    said = ""
    while not run.ended.done():
        await asyncio.wait([run.ended], timeout=PATIENCE_S)
        waits = run.blocked_on()
        reasons = "; ".join(map(str, waits))
        if reasons != said and not any(wait.reason == "task" for wait in waits):
            said = reasons
            click.echo(f"waiting: {reasons}", err=True)


def _signal(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--signal {text!r} is not NAME=JSON; for an approval write e.g. --signal 'order-7={{\"decision\": \"approve\"}}'")
    return name, read_value(value)


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
    return {**found, plan.name: plan}
