"""`jetfleet queue …`: the queues that queue triggers listen to, and messages for them.

0    done        1    the queue is full, or nobody listens
"""

from __future__ import annotations

from typing import Any

import click

from ...schemas import subjects
from ...schemas.errors import UsageError
from ..api import Client
from ..api.errors import nearest
from .event_input import read_value
from .options import form_option, with_client
from .printing import as_json, note, show_rows

COLUMNS = ("queue", "waiting", "capacity", "flows")


@click.group("queue", short_help="Look after queues, send messages to them.")
def queue_command() -> None:
    """Queues: messages that programs send and flows with a queue trigger take."""


@queue_command.command("list")
@form_option
@with_client
async def list_command(client: Client, form: str) -> None:
    """List the queues that there are: how many messages wait, how many may, and which flows listen."""
    from ..queues import capacities, of_queue

    prefix = subjects.queue_stream("")
    made = {name.removeprefix(prefix) for name in await client.connection.streams.names() if name.startswith(prefix)}
    rows: list[dict[str, Any]] = []
    for name in sorted(made | set(capacities(client.flows))):
        queue = client.queue(name)
        flows = ", ".join(f"{flow}.{trigger}" for flow, trigger in of_queue(client.flows, name))
        rows.append({"queue": name, "waiting": await queue.depth(), "capacity": await queue.capacity(), "flows": flows})
    show_rows(rows, COLUMNS, form, "no queues")


@queue_command.command("send")
@click.argument("to", metavar="QUEUE|on.SUBJECT")
@click.argument("message", metavar="JSON|@FILE", default="null")
@click.option("--id", metavar="ID", help="The idempotency key: the same id again is the same message, and the same run.")
@click.option("--key", metavar="KEY", help="What the message is about; the flow reads it as ${trigger.meta.key}.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; repeatable.")
@click.option("--wait", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for room in a queue that is full.")
@form_option
@with_client
async def send_command(
    client: Client, to: str, message: str, id: str | None, key: str | None, headers: tuple[str, ...], timeout_s: float | None, form: str
) -> None:
    """Send a message to a queue, or on a subject to all flows that listen to it; print its id.

    \b
    jetfleet queue send orders '{"order_id": 7}' --id order-7
    jetfleet queue send on.shop.eu.created @order.json
    """
    value = read_value(message, "the message")
    known = dict(_header(text) for text in headers)
    if to.startswith("on."):
        sent = await client.publish(to.removeprefix("on."), value, id=id, key=key, headers=known)
    else:
        sent = await client.queue(to).put(value, id=id, key=key, headers=known, timeout_s=timeout_s or 0)
        _note_if_nobody_listens(client, to)
    click.echo(as_json({"id": sent}) if form == "json" else sent)


def _note_if_nobody_listens(client: Client, name: str) -> None:
    from ..queues import capacities, of_queue

    if not of_queue(client.flows, name):
        meant = nearest(name, list(capacities(client.flows)))
        note(f"note: no deployed flow listens to queue {name!r}{meant}: the message waits there until one does")


@queue_command.command("delete")
@click.argument("name", metavar="QUEUE")
@with_client
async def delete_command(client: Client, name: str) -> None:
    """Delete a queue with the messages that wait in it. While a flow listens to it, it comes back, empty."""
    if not await client.queue(name).delete():
        raise UsageError(f"there is no queue {name!r}; `jetfleet queue list` shows those there are")
    note(f"deleted: {name}")


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--header {text!r}: write NAME=VALUE")
    return name, value
