"""`jetfleet server permissions`: what each role of a fleet may do, as the server wants to have it said."""

from __future__ import annotations

import re

import click

from ...schemas.errors import UsageError
from ..permissions import ROLES, Scope
from ..server.roles import Proof, allowed, inbox, roles_text
from ..topology import PARTITIONS_DEFAULT, PARTITIONS_MAX
from .printing import as_json

_WORD = re.compile(r"[A-Za-z0-9_-]+")
"""What a subject takes as one word. A wildcard would allow more than was meant."""


@click.command("permissions", short_help="Print users for the roles of a fleet.")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="Only this role. Repeatable. Default: all.")
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="Publishers start runs of this flow alone. Repeatable.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Workers take tasks of this queue alone. Repeatable.")
@click.option("--host", "hosts", multiple=True, metavar="ID", help="With --queue: and of its tasks near this arena. Repeatable.")
@click.option("--partitions", type=click.IntRange(1, PARTITIONS_MAX), default=PARTITIONS_DEFAULT, show_default=True,
              help="How many the deployment has.")  # fmt: skip
@click.option("--by", type=click.Choice(["password", "nkey"]), default="password", show_default=True, help="What a user proves itself by.")
@click.option("--format", "form", type=click.Choice(["nats", "json"]), default="nats", show_default=True, help="How to write it.")
def permissions_command(
    roles: tuple[str, ...], flows: tuple[str, ...], queues: tuple[str, ...], hosts: tuple[str, ...], partitions: int, by: Proof, form: str
) -> None:
    """Print a user for each role of a fleet, with the least that it needs: for `jetfleet server --users`, or any nats-server.

    \b
    jetfleet server permissions > users.conf
    jetfleet server --users users.conf

    Passwords are not in it: the server takes them from its environment, JETFLEET_PASSWORD_WORKER and so on.
    """
    for name in (*flows, *queues, *hosts):
        if not _WORD.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a flow, queue or host: letters, digits, `_` and `-`")
    chosen, scope = roles or ROLES, Scope(flows, queues, hosts, partitions)
    if form == "nats":
        click.echo(roles_text(chosen, scope, by), nl=False)
        return
    for role in chosen:
        may = allowed(role, scope)
        click.echo(
            as_json(
                {"role": role, "inbox": inbox(role), "publish": may.publish, "subscribe": may.subscribe, "allow_responses": may.answers}
            )
        )
