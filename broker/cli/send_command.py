"""`jetfleet send FLOW EVENT`: publish an event, or one per line of a file. The run begins whatever dies from then on.

0    on disk (with --wait: every run completed)        1    a run failed, or an event was refused
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...schemas import subjects
from ...schemas.cli import FAILED
from ...schemas.errors import UsageError
from ..api import Client
from .event_input import lines_file, read_value
from .event_subject import PREFIX, flow_and_trigger
from .many import Many
from .options import form_option, with_client
from .printing import as_json, note
from .watching import print_outcome, watch

PARALLEL = 1_000
"""Events, or runs that are waited for, under way at once."""


@click.command("send", short_help="Send events to a flow.")
@click.argument("to", metavar="FLOW|SUBJECT")
@click.argument("event", metavar="JSON|@FILE", default="null")
@click.option("--id", "key", metavar="KEY", help="The idempotency key: the same key again is the same run.")
@click.option("--trigger", metavar="ID", help="The trigger that counts as fired, where the flow has several.")
@click.option("--wait", is_flag=True, help="Wait for the end of the run and print it.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the run goes on.")
@form_option
@with_client
async def send_command(
    client: Client, to: str, event: str, key: str | None, trigger: str | None, wait: bool, timeout_s: float | None, form: str
) -> int:
    """Publish an event of a deployed flow: JSON, @file.json, @- for standard input, or @file.jsonl for one event per line.

    \b
    jetfleet send order '{"order_id": 7}' --wait
    jetfleet send events.order.api @orders.jsonl

    Prints the id of the run. To a full subject events can be sent before the flow is deployed: they wait for it.
    """
    flow, trigger = flow_and_trigger(to, trigger)
    lines = lines_file(event)
    if lines is not None:
        if key is not None:
            raise UsageError("--id is the key of one event, and a file with one per line has many; leave one of the two out")
        return await _send_lines(client, to, flow, trigger, lines, wait, form)
    value = read_value(event, "the event")
    if to.startswith(PREFIX) and client.flows.version(flow) is None:
        return await _send_ahead(client, to, value, key, form)
    handle = await client.start(flow, value, id=key, trigger=trigger)
    if handle.held:
        note(f"note: {handle.held}")
    if not wait:
        click.echo(as_json({"run_id": handle.id}) if form == "json" else handle.id)
        return 0
    result = await watch(client, handle, timeout_s)
    await print_outcome(client, result, form)
    return 0 if result.completed else FAILED


async def _send_lines(client: Client, to: str, flow: str, trigger: str | None, file: Path, wait: bool, form: str) -> int:
    client.require(flow)  # once, not for each of the lines
    return await Many(client, flow, trigger, parallel=PARALLEL, wait=wait, form=form).run(file)


async def _send_ahead(client: Client, subject: str, value: Any, key: str | None, form: str) -> int:
    """Leave an event for a flow that is to be deployed later."""
    await client.connection.publisher.publish(subject, as_json(value).encode(), id=key)
    flow = subject.split(".")[1]
    run = None if key is None else subjects.run_id(flow, key)
    if form == "json":
        click.echo(as_json({"run_id": run}))
    elif run is not None:
        click.echo(run)
    note(f"flow {flow!r} is not deployed: the event waits until it is")
    return 0
