"""`jetfleet run FLOW --local`: run a flow in this process, once or once per line of a file.

Results go to standard output, everything about their making (log, progress, what a run waits for) to standard error.

    0    completed (all of them)          2    the call makes no sense (which trigger? no such file)
    1    a run failed or was refused      5    the flow is not valid
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..broker.cli.event_input import lines_file, read_value
from ..schemas.errors import UsageError
from . import logs, loop
from .batch import PARALLEL_DEFAULT, Batch
from .nodes_command import load_nodes
from .runner import SLOTS_DEFAULT, LocalRunner
from .single import run_single
from .sources import choose_trigger, compile_source, flows_beside
from .virtual_clock import VirtualClock


@click.command("run", short_help="Run a flow, once or once per line of a file.")
@click.argument("flow", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--local", is_flag=True, help="Run in this process, without a server.")
@click.option(
    "--input",
    "input_",
    metavar="JSON|@FILE",
    help="The event: JSON, @file.json, @- for standard input, or @file.jsonl for one run per line.",
)
@click.option("--trigger", metavar="ID", help="The trigger that counts as fired, where the flow has several.")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--signal", "signals", multiple=True, metavar="NAME=JSON", help="Send this signal or answer when the run starts. Repeatable.")
@click.option("--run-id", metavar="ID", help="The id of the run; made up if not given.")
@click.option("--virtual-time", is_flag=True, help="Do not wait for delays, retries and timeouts: let time jump.")
@click.option("--slots", type=click.IntRange(1), default=SLOTS_DEFAULT, show_default=True, help="Attempts that execute at once.")
@click.option(
    "--parallel", type=click.IntRange(1), default=PARALLEL_DEFAULT, show_default=True, help="Runs at once, of a file with one per line."
)
@click.option(
    "--log-level", type=click.Choice(list(logs.LEVELS)), help="Least level of the log. Default: info, and error for a file of runs."
)
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write results."
)
@click.pass_context
def run_command(context: click.Context, /, flow: Path, local: bool, input_: str | None, log_level: str | None, **options: Any) -> None:
    """Run a flow and print what came of it.

    \b
    jetfleet run order.yaml --local --input '{"order_id": 7}'
    jetfleet run order.yaml --local --input @orders.jsonl
    jetfleet run approval.yaml --local --signal 'order-7={"decision": "approve"}'
    """
    if not local:
        raise UsageError("there is no fleet to run on yet; add --local to run the flow in this process")
    lines = lines_file(input_)
    if lines is not None and options["run_id"] is not None:
        raise UsageError("--run-id names one run, and a file with one event per line makes many; leave one of the two out")
    logs.configure(log_level or ("error" if lines else "info"))
    registry = load_nodes(options["nodes"])
    plan = compile_source(flow, registry)
    runner = LocalRunner(
        registry=registry,
        clock=VirtualClock() if options["virtual_time"] else None,
        slots=options["slots"],
        flows=flows_beside(flow, plan, registry),
        keep=lines is None or options["form"] == "json",
        unattended=True,
    )
    how: dict[str, Any] = {
        "trigger": choose_trigger(plan, options["trigger"]),
        "signals": [_signal(text) for text in options["signals"]],
        "form": options["form"],
    }
    if lines is not None:
        work = Batch(runner, plan, parallel=options["parallel"], **how).run(lines)
    else:
        work = run_single(runner, plan, read_value(input_), run_id=options["run_id"], **how)
    context.exit(loop.run(work))


def _signal(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f'--signal {text!r} is not NAME=JSON; for an approval write e.g. --signal \'order-7={{"decision": "approve"}}\'')
    return name, read_value(value, f"the value of signal {name}")
