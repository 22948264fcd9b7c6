"""`jetfleet runs state|diff|explain|verify`: a run at any record, what tells two apart, why, and whether its journal is whole.

0    done, nothing wrong        1    there is no such run; for `diff`: the runs differ; for `verify`: a journal is not what was written
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.errors import UsageError
from ..api import Client
from ..engine import blocked_on
from ..read_model.fields import time_ms
from ..study.difference import Difference, Unlike
from ..study.verification import Verdict
from ..study.words import in_words, span
from .options import form_option, with_client
from .outcome import show
from .printing import as_json, as_text, note, printable, show_table
from .run_rows import pointing_into
from .runs_command import run_argument, runs_command

VALUES_SHOWN = 20
VALUE_MAX = 60


@runs_command.command("state")
@run_argument
@click.option("--at", metavar="N|TIME", help="After record N, as `runs history` counts; or a time: -5m, 2026-11-21T10:00Z. Default: now.")
@form_option
@with_client
async def state_command(client: Client, run: str, at: str | None, form: str) -> None:
    """Show a run as it was: its nodes and outputs, and what it waited for.

    \b
    jetfleet runs state order-1f… --at 4
    jetfleet runs state order-1f… --at -5m
    """
    records, at_ms = _moment(at)
    found = await client.state(await client.full_id(run), records=records, at_ms=at_ms)
    assert found.state is not None
    then = found.state.updated_at if at_ms is None else at_ms
    waits = [in_words(wait, then) for wait in blocked_on(found.state)]
    if form == "json":
        click.echo(as_json({**found.as_value(), "record": len(found.journal) - 1, "at": found.journal[-1].at, "waits": waits}))
        return
    show(found, form)
    for wait in waits:
        click.echo(f"waited: {printable(wait)}" if at else f"waits: {printable(wait)}")


@runs_command.command("diff")
@click.argument("a", metavar="RUN")
@click.argument("b", metavar="RUN")
@form_option
@with_client
async def diff_command(client: Client, a: str, b: str, form: str) -> int:
    """Compare two runs: version, input, the first record that differs, and each node that did something else."""
    found = await client.diff(await client.full_id(a), await client.full_id(b))
    if form == "json":
        click.echo(as_json({**_as_value(found), "alike": found.alike}))
    elif found.alike:
        note("they are alike")
    else:
        show_table(["", "A", "B"], list(_rows(found)))
    return 0 if found.alike else FAILED


@runs_command.command("explain")
@run_argument
@form_option
@with_client
async def explain_command(client: Client, run: str, form: str) -> None:
    """Tell a run in plain sentences: what started it, what each node did and why, how it ended or what would move it."""
    found = await client.explain(await client.full_id(run))
    if form == "json":
        waits = [{"what": wait.what, "until": wait.move.what, "command": wait.move.command} for wait in found.waits]
        value = {"run_id": found.run, "status": found.status, "beginning": found.beginning, "nodes": found.nodes, "end": found.end}
        click.echo(as_json({**value, "waits": waits}))
        return
    for sentence in found.sentences:
        click.echo(printable(sentence))


@runs_command.command("verify")
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--all", "everything", is_flag=True, help="All runs that the history has.")
@click.option("--where", metavar="FILTER", help="All runs that this filter lets through.")
@form_option
@with_client
async def verify_command(client: Client, run: str | None, everything: bool, where: str | None, form: str) -> int:
    """Check that what the history has of a run is what was written: order, gaps, hash chain, and how it ended.

    \b
    jetfleet runs verify order-1f…
    jetfleet runs verify --where 'flow=order and started > -1d'
    """
    if (run is not None) + everything + (where is not None) != 1:
        raise UsageError("say which run, or --all, or --where FILTER")
    if run is not None:
        verdict = await client.verify(await client.full_id(run))
        _tell(verdict, form)
        return 0 if verdict.sound else FAILED
    checked = broken = 0
    with pointing_into(where or ""):
        async for verdict in client.verify_all(where or ""):
            checked += 1
            broken += not verdict.sound
            if form == "json" or verdict.status != "sound":
                _tell(verdict, form)
    note(f"{checked:,} checked, {broken:,} broken")
    return FAILED if broken else 0


def _moment(at: str | None) -> tuple[int | None, int | None]:
    """What `--at` means: so many records, or a time in ms since the epoch. Raises UsageError."""
    if at is None:
        return None, None
    if at.isascii() and at.isdigit() and len(at) < 10:
        return int(at) + 1, None
    try:
        return None, time_ms(at, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise UsageError(f"--at: {error}; or write the number of a record, as `jetfleet runs history` shows it") from None


def _tell(verdict: Verdict, form: str) -> None:
    flaw = verdict.flaw
    if form == "json":
        told = None if flaw is None else {"record": flaw.record, "place": flaw.place, "what": flaw.what}
        value = {"run_id": verdict.run, "status": verdict.status, "records": verdict.records, "chained": verdict.chained}
        click.echo(as_json({**value, "chain": verdict.chain.hex(), "flaw": told}))
        return
    covered = f"{verdict.records:,} records, chain {verdict.chain.hex()[:16]}…" if verdict.sound else printable(str(flaw))
    if verdict.status == "not chained":
        covered = f"{verdict.records:,} records, {verdict.chained:,} of them covered by a hash chain"
    click.echo(f"{printable(verdict.run)}: {verdict.status}: {covered}")


def _as_value(found: Difference) -> dict[str, Any]:
    nodes = [
        {
            "node": node.node, "status": node.status, "port": node.port, "attempts": node.attempts, "duration_ms": node.duration_ms,
            "output": _values(node.output),
        }
        for node in found.nodes
    ]  # fmt: skip
    value = {"a": found.a, "b": found.b, "about": found.about, "input": _values(found.input), "first_record": found.first_record}
    return {**value, "nodes": nodes, "output": _values(found.output)}


def _values(unlike: tuple[Unlike, ...]) -> list[dict[str, Any]]:
    return [{"path": each.path, "a": each.a, "b": each.b} for each in unlike]


def _rows(found: Difference) -> Iterator[list[str]]:
    yield ["run", found.a, found.b]
    for name, (a, b) in found.about.items():
        yield [name, _short(a), _short(b)]
    yield from _unlike("input", found.input)
    if found.first_record is not None:
        yield ["first record that differs", str(found.first_record), str(found.first_record)]
    for node in found.nodes:
        for name, pair in (("status", node.status), ("port", node.port), ("attempts", node.attempts)):
            if pair is not None:
                yield [f"{node.node} {name}", _short(pair[0]), _short(pair[1])]
        if node.duration_ms is not None:
            yield [f"{node.node} took", *(span(took or 0) for took in node.duration_ms)]
        yield from _unlike(f"{node.node} output", node.output)
    yield from _unlike("output", found.output)


def _unlike(name: str, unlike: tuple[Unlike, ...]) -> Iterator[list[str]]:
    for each in unlike[:VALUES_SHOWN]:
        yield [name if each.path == "$" else f"{name} {each.path}", _short(each.a), _short(each.b)]
    if len(unlike) > VALUES_SHOWN:
        yield [f"{name}: {len(unlike) - VALUES_SHOWN} more", "…", "…"]


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else as_text(value)
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"
