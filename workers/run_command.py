"""`jetfleet run FLOW`: run a flow on the fleet, or with `--local` in this process; once, or once per line of a file.

Results go to standard output, everything about their making (log, progress, what a run waits for) to standard error.

    0    completed (all of them)          2    the call makes no sense (which trigger? no such file)
    1    a run failed or was refused      5    the flow is not valid
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..broker.cli.event_input import lines_file, read_value
from ..broker.cli.options import connect, credentials_option, nats_option
from ..broker.credentials import Credentials
from ..schemas.errors import UsageError
from . import logs, loop
from .batch import PARALLEL_DEFAULT, Batch
from .nodes_command import load_nodes
from .runner import SLOTS_DEFAULT, LocalRunner
from .single import run_single
from .sources import choose_trigger, compile_source, flows_beside
from .virtual_clock import VirtualClock

PARALLEL_ON_FLEET = 1_000
"""How many of them are worked on at a time is the fleet's business."""


@click.command("run", short_help="Run a flow, once or once per line of a file.")
@click.argument("flow")
@click.option("--local", is_flag=True, help="Run in this process, without a server.")
@nats_option
@credentials_option
@click.option(
    "--input",
    "input_",
    metavar="JSON|@FILE",
    help="The event: JSON, @file.json, @- for standard input, or @file.jsonl for one run per line.",
)
@click.option("--trigger", metavar="ID", help="The trigger that counts as fired, where the flow has several.")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--signal", "signals", multiple=True, metavar="NAME=JSON", help="Send this signal or answer when the run starts. Repeatable.")
@click.option("--id", "key", metavar="KEY", help="On the fleet: the idempotency key. The same key again is the same run.")
@click.option("--run-id", metavar="ID", help="With --local: the id of the run; made up if not given.")
@click.option("--virtual-time", is_flag=True, help="With --local: do not wait for delays, retries and timeouts, let time jump.")
@click.option(
    "--slots", type=click.IntRange(1), default=SLOTS_DEFAULT, show_default=True, help="With --local: attempts that execute at once."
)
@click.option(
    "--parallel",
    type=click.IntRange(1),
    metavar="N",
    help=f"Runs at once, of a file with one event per line. Default: {PARALLEL_DEFAULT:,} with --local, else {PARALLEL_ON_FLEET:,}.",
)
@click.option(
    "--log-level", type=click.Choice(list(logs.LEVELS)), help="Least level of the log. Default: info, and error for a file of runs."
)
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write results."
)
@click.pass_context
def run_command(context: click.Context, /, flow: str, local: bool, signals: tuple[str, ...], **options: Any) -> None:
    """Run a flow and print what came of it: a deployed one by its name, or the one in a file, which is deployed first.

    \b
    jetfleet run order --input '{"order_id": 7}'
    jetfleet run order.yaml --input @orders.jsonl
    jetfleet run approval.yaml --local --signal 'order-7={"decision": "approve"}'
    """
    _refuse_what_does_not_apply(context, local)
    given = [_signal(text) for text in signals]
    context.exit(_run_here(flow, given, **options) if local else _run_there(flow, given, **options))


def _run_there(
    flow: str,
    signals: list[tuple[str, Any]],
    *,
    url: str,
    credentials: Credentials | None,
    input_: str | None,
    trigger: str | None,
    nodes: tuple[str, ...],
    key: str | None,
    parallel: int | None,
    log_level: str | None,
    form: str,
    **here: Any,
) -> int:
    from ..broker.cli.fleet_run import run_on_fleet  # it loads what talks to a server, which a local run never needs

    logs.configure(log_level or "warn")

    async def connected() -> int:
        async with await connect(url, credentials) as client:
            return await run_on_fleet(
                client,
                flow,
                input=input_,
                trigger=trigger,
                nodes=nodes,
                signals=signals,
                key=key,
                parallel=parallel or PARALLEL_ON_FLEET,
                form=form,
            )

    return loop.run(connected())


def _run_here(
    flow: str,
    signals: list[tuple[str, Any]],
    *,
    input_: str | None,
    trigger: str | None,
    nodes: tuple[str, ...],
    run_id: str | None,
    virtual_time: bool,
    slots: int,
    parallel: int | None,
    log_level: str | None,
    form: str,
    **there: Any,
) -> int:
    file = Path(flow)
    if not file.is_file():
        raise UsageError(f"there is no file {flow}; with --local a flow is given by its file")
    lines = lines_file(input_)
    if lines is not None and run_id is not None:
        raise UsageError("--run-id names one run, and a file with one event per line makes many; leave one of the two out")
    logs.configure(log_level or ("error" if lines else "info"))
    registry = load_nodes(nodes)
    plan = compile_source(file, registry)
    runner = LocalRunner(
        registry=registry,
        clock=VirtualClock() if virtual_time else None,
        slots=slots,
        flows=flows_beside(file, plan, registry),
        keep=lines is None or form == "json",
        unattended=True,
    )
    chosen = choose_trigger(plan, trigger)
    if lines is not None:
        work = Batch(runner, plan, parallel=parallel or PARALLEL_DEFAULT, trigger=chosen, signals=signals, form=form).run(lines)
    else:
        work = run_single(runner, plan, read_value(input_), run_id=run_id, trigger=chosen, signals=signals, form=form)
    return loop.run(work)


def _refuse_what_does_not_apply(context: click.Context, local: bool) -> None:
    """An option that would be passed over in silence is a misunderstanding."""
    names = ("key",) if local else ("run_id", "virtual_time", "slots")
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) == ParameterSource.COMMANDLINE:
            instead = "; --id KEY settles the run's id there" if option.name == "run_id" else ""
            raise UsageError(f"{option.opts[0]} works {'without' if local else 'with'} --local only{instead}")


def _signal(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f'--signal {text!r} is not NAME=JSON; for an approval write e.g. --signal \'order-7={{"decision": "approve"}}\'')
    return name, read_value(value, f"the value of signal {name}")
