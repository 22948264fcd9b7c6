"""`jetfleet dlq …`: dead letters, and events that wait for a flow which is not deployed.

0    done        1    something could not be sent again
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click
import msgspec

from ...schemas.cli import FAILED
from ...schemas.errors import JetfleetError, UnreadablePayload, UsageError
from ...schemas.payload import decode
from ..api import Client, Letter
from .options import form_option, with_client
from .printing import as_json, as_text, complain, moment, note, printable, show_rows

COLUMNS = ("number", "kind", "code", "subject", "at", "reason")
WAITING = "waiting"
SHOWN_BYTES = 4_096


@click.group("dlq", short_help="Look after dead letters.")
def dlq_command() -> None:
    """Dead letters: what could not be read or placed, kept until somebody looks after it."""


@dlq_command.command("list")
@click.option("--kind", type=click.Choice(["event", "record", "task", "signal", WAITING]), help="Only letters of this kind.")
@form_option
@with_client
async def list_command(client: Client, kind: str | None, form: str) -> None:
    """List dead letters, oldest first, and the events that wait because their flow is not deployed."""
    letters = [] if kind == WAITING else [letter for letter in await client.dead_letters() if kind in (None, letter.letter.kind)]
    waiting = await client.waiting_events() if kind in (None, WAITING) else {}
    rows = [_row(letter, form) for letter in letters] + [_waiting_row(subject, count) for subject, count in waiting.items()]
    show_rows(rows, COLUMNS, form, "no dead letters, and no event waits for a flow")


@dlq_command.command("show")
@click.argument("number", type=int)
@form_option
@with_client
async def show_command(client: Client, number: int, form: str) -> None:
    """Show a dead letter: why it died, and what was in it."""
    letter = await client.dead_letter(number)
    value = {
        **_row(letter, "json"),
        "where": letter.letter.where,
        "headers": letter.letter.headers,
        "size_bytes": len(letter.letter.data),
        "data": _readable(letter.letter.data),
    }
    if form == "json":
        click.echo(as_json(value))
        return
    width = max(map(len, value))
    for name, content in (value | {"at": moment(letter.letter.at)}).items():
        click.echo(f"{name.ljust(width)}  {printable(content if isinstance(content, str) else as_text(content))}")


@dlq_command.command("redrive")
@click.argument("numbers", type=int, nargs=-1, metavar="NUMBER...")
@click.option("--all", "all_", is_flag=True, help="All dead letters.")
@with_client
async def redrive_command(client: Client, numbers: tuple[int, ...], all_: bool) -> int:
    """Send dead letters again, once what stood in their way is mended. Those that are sent leave the list."""
    if bool(numbers) == all_:
        raise UsageError("say which letters to send again, by their numbers, or --all")
    failed = False
    for number in [letter.seq for letter in await client.dead_letters()] if all_ else numbers:
        try:
            letter = await client.redrive(number)
            note(f"sent again: {number} on {letter.letter.subject}")
        except JetfleetError as error:
            complain(error)
            failed = True
    return FAILED if failed else 0


def _row(letter: Letter, form: str) -> dict[str, Any]:
    found = letter.letter
    at = found.at if form == "json" else moment(found.at)
    return {"number": letter.seq, "kind": found.kind, "code": found.code, "subject": found.subject, "at": at, "reason": found.reason}


def _waiting_row(subject: str, count: int) -> Mapping[str, Any]:
    flow = subject.split(".")[1]
    reason = f"{count:,} {'event waits' if count == 1 else 'events wait'}: flow {flow} is not deployed"
    return {"number": None, "kind": WAITING, "code": "NOT_DEPLOYED", "subject": subject, "at": None, "reason": reason}


def _readable(data: bytes) -> Any:
    """JSON or msgpack as its value, a text as it is, else the first bytes in hexadecimal."""
    for read in (msgspec.json.decode, decode):
        try:
            return read(data)
        except (msgspec.MsgspecError, UnreadablePayload, ValueError, RecursionError, OverflowError):
            continue
    with suppress(UnicodeDecodeError):
        text = data.decode()
        if all(character.isprintable() or character.isspace() for character in text):
            return text[:SHOWN_BYTES]
    return data[:SHOWN_BYTES].hex(" ")
