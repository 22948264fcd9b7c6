"""`jetfleet runs export|import|replay`: a run into a file, out of it into another fleet, and step by step through its journal.

0    done        1    refused; for `replay`: the journal does not lead to what was recorded as the end
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.errors import UsageError
from ...schemas.messages import Summary
from ...schemas.plan.plan import Plan
from ...schemas.records import Record
from ..api import Client
from ..credentials import Credentials
from ..loop import run as run_loop
from ..study.steps import Step, steps
from ..study.verification import unlike_summary
from ..transfer.manifest import SUFFIX, LostPart
from ..transfer.reading import JetrunFile
from .effect_lines import effect_line, effect_value
from .journal_lines import record_value, time_of_day
from .options import connect, credentials_option, nats_option, with_client
from .printing import as_json, as_text, note, printable
from .runs_command import run_argument, runs_command

json_option = click.option("--json", "as_lines", is_flag=True, help="One object per line.")
VALUE_MAX = 80
_SHOWN_ELSEWHERE = frozenset(("record", "at", "kind", "took_us"))


@runs_command.command("export")
@run_argument
@click.option("-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=f"Default: RUN{SUFFIX}.")
@click.option("--with-children", is_flag=True, help="The runs of its sub-flows too.")
@click.option("--decrypt", is_flag=True, help="Take encrypted values along, in the clear.")
@json_option
@with_client
async def export_command(client: Client, run: str, file: Path | None, with_children: bool, decrypt: bool, as_lines: bool) -> None:
    """Write a run to a file: its flow, its journal, and its values as far as they can still be had."""
    id = await client.full_id(run)
    file = file or Path(f"{id.replace(os.sep, '_')}{SUFFIX}")
    if file.exists():
        raise UsageError(f"{file} exists; name another file with -o")
    try:
        made = await client.export_run(id, file, with_children=with_children, decrypt=decrypt)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from None
    if as_lines:
        lost = [{"ref": each.ref, "run_id": each.run, "reason": each.reason} for each in made.lost]
        runs = [{"run_id": each.run, "records": each.records, "status": each.status, "chain": each.chain} for each in made.runs]
        click.echo(as_json({"file": str(file), "runs": runs, "payloads": len(made.payloads), "lost": lost}))
        return
    records = sum(each.records for each in made.runs)
    note(f"{file}: {_count(len(made.runs), 'run')}, {_count(records, 'record')}, {_count(len(made.payloads), 'large value')}")
    _tell_lost(made.lost)


@runs_command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--id", "id", default="", metavar="ID", help="What the run is called here. Default: as it was.")
@click.option("--go-on", is_flag=True, help="Let a run that was open go on here. Only do that with files of people you trust.")
@json_option
@with_client
async def import_command(client: Client, file: Path, id: str, go_on: bool, as_lines: bool) -> None:
    """Bring the runs of a file into this fleet, to be looked at, or to go on."""
    made = await client.import_run(_existing(file), id=id, go_on=go_on)
    if as_lines:
        click.echo(as_json({"runs": made.runs, "open": made.open, "lost": [each.ref for each in made.lost]}))
        return
    for run in made.runs:
        click.echo(run)
    _tell_lost(made.lost)


@runs_command.command("replay")
@click.argument("what", metavar="FILE|RUN")
@click.option("--until", type=click.IntRange(0), metavar="N", help="Stop after record N.")
@click.option("--step", "stepwise", is_flag=True, help="Wait for a key after each record.")
@json_option
@nats_option
@credentials_option
def replay_command(what: str, until: int | None, stepwise: bool, as_lines: bool, url: str, credentials: Credentials | None) -> None:
    """Go through a journal record by record: what each changed, and what the engine asked for. A file needs no server.

    \b
    jetfleet runs replay order-1f.jetrun --step
    jetfleet runs replay order-1f… --until 4
    """
    if what.endswith(SUFFIX) or Path(what).is_file():
        opened = JetrunFile(_existing(Path(what)))
        opened.close()
        code = 0
        for carried in opened.runs:
            code = max(code, _replay(carried.plan, carried.records, carried.summary, until, stepwise, as_lines))
    else:
        plan, records, summary = run_loop(_fetched(what, url, credentials))
        code = _replay(plan, records, summary, until, stepwise, as_lines)
    click.get_current_context().exit(code)


async def _fetched(run: str, url: str, credentials: Credentials | None) -> tuple[Plan, Sequence[Record], Summary | None]:
    async with await connect(url, credentials) as client:
        id = await client.full_id(run)
        studied = await client.studied(id)
        return studied.plan, studied.journal, await client.summary(id, len(studied.journal))


def _replay(plan: Plan, journal: Sequence[Record], summary: Summary | None, until: int | None, stepwise: bool, as_lines: bool) -> int:
    """Returns the exit code."""
    for step in steps(plan, journal if until is None else journal[: until + 1]):
        if as_lines:
            click.echo(as_json(_as_value(step, plan)))
        else:
            _tell_step(step, plan)
        if stepwise and step.number < len(journal) - 1:
            click.pause(err=True)
    if until is not None and until + 1 < len(journal):
        return 0
    id = journal[0].run
    if summary is None:
        note(f"run {id} was open after these {_count(len(journal), 'record')}")
        return 0
    unlike = unlike_summary(plan, list(journal), summary)
    note(f"run {id}: {unlike}" if unlike else f"run {id}: the journal leads to what was recorded: {summary.status}")
    return FAILED if unlike else 0


def _as_value(step: Step, plan: Plan) -> dict[str, Any]:
    return {
        **record_value(step.number, step.record, plan),
        "ignored": step.ignored,
        "changes": [{"node": change.node, "before": change.before, "after": change.after} for change in step.changes],
        "effects": [effect_value(effect, plan) for effect in step.effects],
    }


def _tell_step(step: Step, plan: Plan) -> None:
    value = record_value(step.number, step.record, plan)
    said = [f"{name}={_short(each)}" for name, each in value.items() if name not in _SHOWN_ELSEWHERE]
    click.echo("  ".join([f"{step.number:>5}  {time_of_day(step.record.at)}  {value['kind']}", *said]))
    for change in step.changes:
        click.echo(f"         {printable(str(change))}")
    for effect in step.effects:
        click.echo(f"         asks for {effect_line(effect, plan)}")
    if step.ignored:
        click.echo("         it meant nothing: it came twice, or too late")


def _short(value: Any) -> str:
    text = printable(value if isinstance(value, str) else as_text(value))
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    return file


def _tell_lost(lost: Sequence[LostPart]) -> None:
    for each in lost:
        note(f"lost: {each.ref} of run {each.run}: {each.reason}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
