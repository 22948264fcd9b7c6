"""`jetfleet trigger fire FLOW [TRIGGER]`: start a run as if the trigger had fired.

0    on disk (with --wait: the run completed)        1    refused, or the run failed
"""

from __future__ import annotations

import sys
from typing import Any

import click

from ...broker.api import Client, RunHandle
from ...broker.cli.event_input import read_value
from ...broker.cli.options import connect, credentials_option, form_option, nats_option
from ...broker.cli.printing import as_json, note
from ...broker.cli.watching import print_outcome, watch
from ...broker.credentials import Credentials
from ...broker.loop import run
from ...schemas.cli import FAILED
from ...schemas.errors import SeveralTriggers, UsageError
from ...schemas.plan.parameters import parameters
from .asking import Declared, asked, assigned


@click.command("fire", short_help="Start a run as if a trigger had fired.")
@click.argument("flow")
@click.argument("trigger", required=False)
@click.option("--input", "input_", metavar="JSON|@FILE", help="The payload: JSON, @file, or @- for standard input. --param adds to it.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE",
              help="A value of the payload, as a manual trigger declares it. Counts before --input. Repeatable.")  # fmt: skip
@click.option("--id", "key", metavar="KEY", help="What fired with this key already is not fired again.")
@click.option("--wait", is_flag=True, help="Wait for the end of the run and print it.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the run goes on.")
@form_option
@nats_option
@credentials_option
@click.pass_context
def fire_command(
    context: click.Context,
    flow: str,
    trigger: str | None,
    input_: str | None,
    params: tuple[str, ...],
    key: str | None,
    wait: bool,
    timeout_s: float | None,
    form: str,
    url: str,
    credentials: Credentials | None,
) -> None:
    """Start a run of a flow as if the trigger had fired. Nobody has to serve it.

    \b
    jetfleet trigger fire orders desk --param id=7 --param rush=yes --wait
    jetfleet trigger fire nightly --id 2026-03-01T02:00:00Z

    Parameters that a manual trigger declares are asked for on a terminal; other triggers take the payload as it is given.
    """
    value = read_value(input_)

    async def declared() -> Declared:
        async with await connect(url, credentials) as client:
            return parameters(client.require(flow), client.chosen_trigger(flow, trigger))

    async def fire() -> int:
        async with await connect(url, credentials) as client:
            handle = await client.fire(flow, trigger, payload, key=key)
            return await _tell(client, handle, wait, timeout_s, form)

    try:
        known = run(declared()) if params or sys.stdin.isatty() else ()
        payload = _payload(value, assigned(params, known), known)  # outside of any loop: a person may take long, or press Ctrl-C
        code = run(fire())
    except SeveralTriggers as error:
        raise SeveralTriggers(flow, error.triggers, f"`jetfleet trigger fire {flow} TRIGGER`") from None
    context.exit(code)


def _payload(value: Any, given: dict[str, Any], declared: Declared) -> Any:
    """`value` with what was given by name in it, and what a person is asked for."""
    if value is not None and not isinstance(value, dict):
        if given:
            raise UsageError("--param adds to a map, and --input is none; leave one of the two out")
        return value
    together = (value or {}) | given
    if sys.stdin.isatty() and declared:
        together |= asked(declared, together)
    return together if together or value is not None else None


async def _tell(client: Client, handle: RunHandle, wait: bool, timeout_s: float | None, form: str) -> int:
    if handle.held:
        note(f"note: {handle.held}")
    if not wait:
        click.echo(as_json({"run_id": handle.id}) if form == "json" else handle.id)
        return 0
    result = await watch(client, handle, timeout_s)
    await print_outcome(client, result, form)
    return 0 if result.completed else FAILED
