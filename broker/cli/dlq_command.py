"""`jetfleet dlq …`: dead letters, and events that wait for a flow which is not deployed.

0    done        1    something could not be sent again or dropped
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click
import msgspec

from ...schemas import messages
from ...schemas.cli import FAILED
from ...schemas.errors import JetfleetError, UnreadablePayload, UsageError
from ...schemas.messages import BatchedEvent, DeadLetter
from ...schemas.payload import decode
from ..api import Client, Letter
from ..api.events import BATCH_HEADERS
from .options import form_option, with_client
from .printing import as_json, as_text, complain, moment, note, printable, show_rows

COLUMNS = ("number", "kind", "code", "subject", "at", "reason")
WAITING = "waiting"
SHOWN_BYTES = 4_096
KINDS = ("event", "record", "task", "signal")

numbers_argument = click.argument("numbers", type=int, nargs=-1, metavar="NUMBER...")
all_option = click.option("--all", "all_", is_flag=True, help="All dead letters.")
kind_option = click.option("--kind", type=click.Choice(KINDS), help="All letters of this kind.")
code_option = click.option("--code", metavar="CODE", help="All letters with this code, such as EVENT_REJECTED.")


@click.group("dlq", short_help="Look after dead letters.")
def dlq_command() -> None:
    """Dead letters: what could not be read or placed, kept until somebody looks after it."""


@dlq_command.command("list")
@click.option("--kind", type=click.Choice([*KINDS, WAITING]), help="Only letters of this kind.")
@click.option("--code", metavar="CODE", help="Only letters with this code.")
@form_option
@with_client
async def list_command(client: Client, kind: str | None, code: str | None, form: str) -> None:
    """List dead letters, oldest first, and the events that wait because their flow is not deployed."""
    letters = [] if kind == WAITING else _matching(await client.dead_letters(), kind, code)
    waiting = await client.waiting_events() if kind in (None, WAITING) and code is None else {}
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
        **_content(letter.letter),
    }
    if form == "json":
        click.echo(as_json(value))
        return
    width = max(map(len, value))
    for name, content in (value | {"at": moment(letter.letter.at)}).items():
        click.echo(f"{name.ljust(width)}  {printable(_short(content if isinstance(content, str) else as_text(content)))}")


@dlq_command.command("redrive")
@numbers_argument
@all_option
@kind_option
@code_option
@with_client
async def redrive_command(client: Client, numbers: tuple[int, ...], all_: bool, kind: str | None, code: str | None) -> int:
    """Send dead letters again, once what stood in their way is mended. Those that are sent leave the list."""
    chosen = await _chosen(client, numbers, all_, kind, code)
    return await _each(chosen, client.redrive, lambda letter: f"sent again: {letter.seq} on {letter.letter.subject}")


@dlq_command.command("drop")
@numbers_argument
@all_option
@kind_option
@code_option
@with_client
async def drop_command(client: Client, numbers: tuple[int, ...], all_: bool, kind: str | None, code: str | None) -> int:
    """Forget dead letters that nobody will send again. What was in them is gone."""
    chosen = await _chosen(client, numbers, all_, kind, code)
    return await _each(chosen, client.drop_letter, lambda letter: f"dropped: {letter.seq}")


async def _chosen(client: Client, numbers: Sequence[int], all_: bool, kind: str | None, code: str | None) -> Sequence[int]:
    """By their numbers, or all that match."""
    if bool(numbers) == bool(all_ or kind or code):
        raise UsageError("say which letters: their numbers, or --kind, --code or both, or --all")
    return numbers or [letter.seq for letter in _matching(await client.dead_letters(), kind, code)]


async def _each(numbers: Sequence[int], act: Callable[[int], Awaitable[Letter]], told: Callable[[Letter], str]) -> int:
    """The exit code. One that cannot be dealt with keeps no other one waiting."""
    failed = False
    for number in numbers:
        try:
            note(told(await act(number)))
        except JetfleetError as error:
            complain(error)
            failed = True
    return FAILED if failed else 0


def _matching(letters: Sequence[Letter], kind: str | None, code: str | None) -> list[Letter]:
    return [letter for letter in letters if kind in (None, letter.letter.kind) and code in (None, letter.letter.code)]


def _row(letter: Letter, form: str) -> dict[str, Any]:
    found = letter.letter
    at = found.at if form == "json" else moment(found.at)
    return {"number": letter.seq, "kind": found.kind, "code": found.code, "subject": found.subject, "at": at, "reason": found.reason}


def _waiting_row(subject: str, count: int) -> Mapping[str, Any]:
    flow = subject.split(".")[1]
    reason = f"{count:,} {'event waits' if count == 1 else 'events wait'}: flow {flow} is not deployed"
    return {"number": None, "kind": WAITING, "code": "NOT_DEPLOYED", "subject": subject, "at": None, "reason": reason}


def _content(letter: DeadLetter) -> dict[str, Any]:
    """What died: of one event its payload and what the trigger said about it, of a batch each of its events, else what it looks like."""
    told: list[dict[str, Any]] = []
    if letter.headers.keys() >= BATCH_HEADERS.keys():
        with suppress(JetfleetError, msgspec.MsgspecError, RecursionError):  # it was cut short, or never was a batch
            events = [messages.decode(BatchedEvent, entry) for entry in messages.split(letter.data)]
            told = [{"data": _shown(decode(event.payload)), "meta": decode(event.meta)} for event in events]
    return told[0] if len(told) == 1 else {"data": told or _readable(letter.data)}


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}… ({len(text):,} characters: -o json has them all)"


def _readable(data: bytes) -> Any:
    """JSON or msgpack as its value, a text as it is, else the first bytes in hexadecimal."""
    for read in (msgspec.json.decode, decode):
        try:
            return _shown(read(data))
        except (msgspec.MsgspecError, UnreadablePayload, ValueError, RecursionError, OverflowError):
            continue
    return _shown(data)


def _shown(value: Any) -> Any:
    """Bytes as text, where they are one, else the first of them in hexadecimal; anything else as it is."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        return value
    data = bytes(value)
    with suppress(UnicodeDecodeError):
        text = data.decode()
        if all(character.isprintable() or character.isspace() for character in text):
            return text[:SHOWN_BYTES]
    return data[:SHOWN_BYTES].hex(" ")
