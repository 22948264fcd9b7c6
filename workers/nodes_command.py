"""`jetfleet nodes`: which node types there are, and what one of them can do."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from .catalogue import Entry, catalogue, describe
from .registry import Registry


@click.command("nodes")
@click.option("--describe", "name", metavar="TYPE", help="All about one type: ports, config keys, defaults.")
@click.option(
    "--nodes", "sources", multiple=True, metavar="MODULE_OR_FILE", help="Also list the own nodes of this module or .py file. Repeatable."
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write it.")
def nodes_command(name: str | None, sources: tuple[str, ...], form: str) -> None:
    """List the node types, or describe one."""
    registry = load_nodes(sources)
    found = describe(name, registry) if name else catalogue(registry)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo(_page(found) if isinstance(found, Entry) else _table(found))


def load_nodes(sources: Sequence[str]) -> Registry:
    """A registry with the nodes of these modules and files; a source without any is warned about. Raises UsageError."""
    registry = Registry()
    for source in sources:
        if not registry.load(source):
            click.echo(f"warning: NODES there is no node in {source}; decorate its functions with `@node('shop.charge')`", err=True)
    return registry


def _table(entries: tuple[Entry, ...]) -> str:
    rows = [("TYPE", "PORTS", "RUNS", "DOES")]
    rows += [(entry.type, " ".join(entry.ports[:-1]), entry.executed, entry.summary) for entry in entries]
    return _columns(rows) + "\n\nEvery type also has the port `error`. More about one: jetfleet nodes --describe TYPE"


def _page(entry: Entry) -> str:
    parts = [f"{entry.type}: {entry.summary}" if entry.summary else entry.type]
    if entry.description:
        parts.append(entry.description)
    parts.append(_columns(_facts(entry)))
    if entry.config:
        rows = [(f"  {key.name}", key.type, "required" if key.required else key.default, key.description) for key in entry.config]
        parts.append("config\n" + _columns(rows))
    return "\n\n".join(parts)


def _facts(entry: Entry) -> list[tuple[str, str]]:
    aliases = ", ".join(f"{alias} means {port}" for alias, port in entry.port_aliases.items())
    facts = [("ports", ", ".join(entry.ports) + (f" ({aliases})" if aliases else ""))]
    facts.append(("runs", "in the engine" if entry.executed == "engine" else f"on a worker, mode {entry.executed}"))
    if entry.timeout_ms is not None:
        facts.append(("timeout", f"{entry.timeout_ms} ms"))
    if entry.executed != "engine":
        facts.append(("idempotent", "yes" if entry.idempotent else "not declared"))
    return facts


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
