"""`jetfleet runs approve|reject|escalate|event`: deciding what a run waits for, and events for all runs that wait for them.

0    done        1    refused: not asked, answered already, not as the schema wants it
"""

from __future__ import annotations

import click

from ..api import Client
from .answering import Said, answer_options, answered, options
from .event_input import read_value
from .options import form_option, with_client
from .printing import note, printable
from .runs_command import run_argument, runs_command

hook_argument = click.argument("hook", metavar="HOOK")


@runs_command.command("approve")
@run_argument
@hook_argument
@answer_options
@form_option
@with_client
async def approve_command(client: Client, run: str, hook: str, form: str, said: Said) -> None:
    """Approve what a run waits for under the name HOOK.

    \b
    jetfleet runs approve order-1f… order-7 --response '{"limit": 500}' --reason 'known customer'
    """
    answered(await client.decide(await client.full_id(run), hook, "approve", **options(said)), form)


@runs_command.command("reject")
@run_argument
@hook_argument
@answer_options
@form_option
@with_client
async def reject_command(client: Client, run: str, hook: str, form: str, said: Said) -> None:
    """Reject what a run waits for under the name HOOK."""
    answered(await client.decide(await client.full_id(run), hook, "reject", **options(said)), form)


@runs_command.command("escalate")
@run_argument
@hook_argument
@answer_options
@form_option
@with_client
async def escalate_command(client: Client, run: str, hook: str, form: str, said: Said) -> None:
    """Leave what a run waits for under the name HOOK to whoever comes next."""
    answered(await client.decide(await client.full_id(run), hook, "escalate", **options(said)), form)


@runs_command.command("event")
@click.argument("name")
@click.argument("value", default="null", metavar="JSON|@FILE")
@click.option("--id", "key", default="", metavar="KEY", help="The same key again is the same event.")
@with_client
async def event_command(client: Client, name: str, value: str, key: str) -> None:
    """Send an event to all runs that wait for it and whose fields fit. To start a run of a flow: jetfleet send.

    \b
    jetfleet runs event payment.settled '{"order_id": 7}'
    """
    await client.event(name, read_value(value, "the event"), id=key)
    note(f"{printable(name)} is sent to the runs that wait for it")
