"""`jetfleet flow diff`: what two definitions of a flow differ in. Each is a file, a deployed flow, or a version of one.

0    they mean the same        1    they differ        5    a file is no valid flow
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.flow.definition import Flow
from ...schemas.flow.differences import Difference, differences
from ...schemas.messages import Definition
from ..credentials import Credentials
from ..loop import run
from .deploy_command import nodes_option
from .options import connect, credentials_option, form_option, nats_option
from .printing import as_json, note, show_rows


@click.command("diff")
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="AFTER")
@nodes_option
@form_option
@nats_option
@credentials_option
def diff_command(before: str, after: str, nodes: tuple[str, ...], form: str, url: str, credentials: Credentials | None) -> None:
    """Show what two definitions differ in: nodes, edges, triggers, settings that were added, removed or changed.

    Each is a file, the name of a deployed flow (its current version), or `NAME@VERSION`. Of two files no server is asked.
    """
    one, other = run(_definitions([before, after], nodes, url, credentials))
    found = differences(_comparable(one), _comparable(other))
    show_rows([_row(each, form) for each in found], ("change", "what", "name", "before", "after"), form, "they mean the same")
    if form != "json" and found:
        note(f"{one.name} {one.version} ({one.digest[:12]}) → {other.name} {other.version} ({other.digest[:12]})")
    click.get_current_context().exit(FAILED if found else 0)


async def _definitions(names: list[str], nodes: tuple[str, ...], url: str, credentials: Credentials | None) -> list[Definition]:
    """Raises UnknownFlow, UnknownVersion, AmbiguousVersion, InvalidFlow, UsageError, BrokerError."""
    from ..api.definitions import definition_of

    local = {name: definition_of(Path(name), nodes) for name in names if Path(name).is_file()}
    if len(local) == len(set(names)):
        return [local[name] for name in names]
    async with await connect(url, credentials) as client:
        return [local[name] if name in local else client.definition(*name.split("@", 1)) for name in names]


def _comparable(definition: Definition) -> dict[str, Any]:
    """As it is written, with the version and the settings in full: what is left out there has a value too."""
    written = json.loads(definition.source)
    flow = Flow.model_validate(written)
    return {**written, "version": flow.version, "settings": flow.settings.model_dump(mode="json", by_alias=True)}


def _row(each: Difference, form: str) -> dict[str, Any]:
    row = {"change": each.change, "what": each.what, "name": each.name, "before": each.before, "after": each.after}
    return row if form == "json" else row | {"before": _short(each.before), "after": _short(each.after)}


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else as_json(value)
    return text if len(text) <= 60 else text[:59] + "…"
