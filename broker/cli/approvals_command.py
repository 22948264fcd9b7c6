"""`jetfleet approvals …`: who is asked to decide what, and answering by token.

0    done        1    refused: answered already, no longer asked, not a token
"""

from __future__ import annotations

import time
from typing import Any

import click

from ..api import Client, Pending
from ..api.approval_errors import NotWaiting
from ..study.words import span
from ..waiting import LIMIT_MAX
from .answering import Said, answer_options, answered, options
from .options import form_option, with_client
from .printing import as_json, as_text, moment, note, printable, show_rows

COLUMNS = ("run_id", "flow", "approval", "for", "metadata", "left")


@click.group("approvals", short_help="See who is asked to decide what, and answer.")
def approvals_command() -> None:
    """What runs wait for people to decide."""


@approvals_command.command("list")
@click.option("--flow", metavar="NAME", help="Only of this flow.")
@click.option("--for", "assignee", metavar="PERSON", help="Only those that name this person among their assignees.")
@click.option("--name", metavar="HOOK", help="Only of this name.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Approvals at most.")
@form_option
@with_client
async def list_command(client: Client, flow: str | None, assignee: str | None, name: str | None, limit: int, form: str) -> None:
    """List the approvals that runs wait for, by the ids of the runs.

    \b
    jetfleet approvals list --flow order --for ann@example.org
    """
    rows: list[Pending] = []
    cursor = ""
    while len(rows) < limit:
        page = await client.pending(flow, assignee, name=name, limit=min(limit - len(rows), LIMIT_MAX), cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if not cursor:
            break
    now_ms = time.time_ns() // 1_000_000
    nothing = "nobody is asked such a thing" if flow or assignee or name else "nobody is asked anything"
    show_rows([as_row(row) if form == "json" else _cells(row, now_ms) for row in rows], COLUMNS, form, nothing)
    if cursor:
        note(f"there are more than {limit:,}: --limit shows them")


@approvals_command.command("show")
@click.argument("run", metavar="RUN")
@click.argument("hook", metavar="HOOK")
@form_option
@with_client
async def show_command(client: Client, run: str, hook: str, form: str) -> None:
    """Show one approval: who is asked, what an answer must look like, and the token that answers it."""
    id = await client.full_id(run)
    pending = (await client.pending(run=id, name=hook, limit=1)).rows
    if not pending:
        raise NotWaiting(id, hook, [row.name for row in (await client.pending(run=id)).rows])
    found = pending[0]
    value = {**as_row(found), "schema": found.schema, "token": await client.token(found)}
    if form == "json":
        click.echo(as_json(value))
        return
    width = max(map(len, value))
    for name, content in (value | {"due": moment(found.due) or "never"}).items():
        click.echo(f"{name.ljust(width)}  {printable(content if isinstance(content, str) else as_text(content))}")


@approvals_command.command("answer")
@click.argument("token", metavar="TOKEN")
@click.option(
    "--decision", type=click.Choice(["approve", "reject", "escalate"]), default="approve", show_default=True, help="What is decided."
)
@answer_options
@form_option
@with_client
async def answer_command(client: Client, token: str, decision: str, form: str, said: Said) -> None:
    """Answer the approval that a token names. A token is good for one answer."""
    answered(await client.answer(token, decision, **options(said)), form)


@approvals_command.command("rotate")
@with_client
async def rotate_command(client: Client) -> None:
    """Make a new secret for tokens. Tokens of the one before stay valid, those of an older one end."""
    await client.rotate_tokens()
    note("tokens are made with a new secret; those of the one before stay valid until the next rotation")


def as_row(row: Pending) -> dict[str, Any]:
    """An approval as a line of JSON has it."""
    return {
        "run_id": row.run, "flow": row.flow, "node": row.node, "approval": row.name, "assignees": row.assignees, "metadata": row.metadata,
        "due": row.due,
    }  # fmt: skip


def _cells(row: Pending, now_ms: int) -> dict[str, Any]:
    left = "" if row.due is None else span(max(row.due - now_ms, 0))
    people = ", ".join(row.assignees)
    return {"run_id": row.run, "flow": row.flow, "approval": row.name, "for": people, "metadata": as_text(row.metadata), "left": left}
