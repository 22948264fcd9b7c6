"""`jetfleet runs history`: a run's journal, record by record: what each said, how large it is, and what it changed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ...schemas.codec import encode_record
from ...schemas.sizes import size_text
from ..api import Client
from ..read_model.errors import JournalGap
from ..run_result import RunResult
from ..study.steps import Step, steps
from .journal_lines import record_value, time_of_day
from .options import form_option, with_client
from .printing import as_json, as_text, printable
from .runs_command import run_argument, runs_command

LOOK_S = 0.25
"""How often it is looked whether there are more records."""
PATIENCE_S = 60.0
"""How long whoever follows a run waits for somebody who has the rest of its journal."""
VALUE_MAX = 100
SIZE_SHOWN_MIN_BYTES = 1024
CHANGES_SHOWN = 5
KIND_WIDTH = 16
DIGEST_SHOWN = 12
_ELSEWHERE = frozenset(("record", "at", "kind", "took_us"))


@runs_command.command("history")
@run_argument
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until the run ends.")
@form_option
@with_client
async def history_command(client: Client, run: str, follow: bool, form: str) -> None:
    """Show a run's journal: every record that it took in, in order, and what each changed."""
    id = await client.full_id(run)
    told = 0
    while True:
        found = await (client.show(id) if not told else _patiently_shown(client, id))
        told = max(told, _tell(found, told, form))
        if not follow or found.state is None or found.state.ended:
            return
        await _more(client, id, told)


async def _patiently_shown(client: Client, run: str) -> RunResult:
    """A run that is followed: while its partition changes hands, its last records are nowhere to be asked for."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await client.show(run)
        except JournalGap:
            if asyncio.get_running_loop().time() > deadline:
                raise


async def _more(client: Client, run: str, told: int) -> None:
    """Returns when there are more records, or the run is not open any more."""
    while (view := await client.look(run)) is not None and view.archived + len(view.tail) <= told:
        await asyncio.sleep(LOOK_S)


def _tell(found: RunResult, told: int, form: str) -> int:
    """Print the records behind the first `told`; how many there are."""
    assert found.state is not None
    console = Console(highlight=False) if sys.stdout.isatty() else None
    for step in steps(found.state.plan, found.journal):
        if step.number < told:
            continue
        if form == "json":
            click.echo(as_json(_as_value(step)))
        elif console is not None:
            head, rest = _line(step)
            console.print(Text(head, "dim"), Text(rest, "red" if step.ignored else ""), soft_wrap=True)
        else:
            click.echo(" ".join(_line(step)))
        if form == "table" and (changed := _changes(step)):
            click.echo(changed)
    return len(found.journal)


def _as_value(step: Step) -> dict[str, Any]:
    changes = [{"node": each.node, "before": each.before, "after": each.after} for each in step.changes]
    return {
        **record_value(step.number, step.record, step.run.plan),
        "bytes": len(encode_record(step.record)),
        "ignored": step.ignored,
        "changes": changes,
    }


def _line(step: Step) -> tuple[str, str]:
    value = record_value(step.number, step.record, step.run.plan)
    head = f"{step.number:>5}  {time_of_day(step.record.at)}  {value['kind'].ljust(KIND_WIDTH)}"
    said = [f"{name}={_short(name, each)}" for name, each in value.items() if name not in _ELSEWHERE]
    took = value.get("took_us")
    said += [f"took={took / 1000:g} ms"] if took else []
    size = len(encode_record(step.record))
    said += [size_text(size)] if size >= SIZE_SHOWN_MIN_BYTES else []
    said += ["(meant nothing any more)"] if step.ignored else []
    return head, "  ".join(said)


def _changes(step: Step) -> str:
    """One line: the statuses that activations have got by this record; "" if none has."""
    changes = [f"{each.node} {each.after}" for each in step.changes if each.after != "pending"]
    more = [f"{len(changes) - CHANGES_SHOWN:,} more"] if len(changes) > CHANGES_SHOWN else []
    return printable(f"{'':21}→ {', '.join(changes[:CHANGES_SHOWN] + more)}") if changes else ""


def _short(name: str, value: Any) -> str:
    if name == "error":
        value = f"{value['type']}: {value['message']}"
    text = printable(value if isinstance(value, str) else as_text(value))
    if name == "digest":
        return text[:DIGEST_SHOWN]
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"
