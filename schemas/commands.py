"""The commands about definitions: `validate`, `schema` and `graph`. They need no server and run nothing.

Exit codes: 0 valid, 5 not valid, 2 a call that makes no sense (such as a file that does not exist).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from .cli import INVALID
from .errors import UsageError
from .node_loaders import own_node_types
from .plan.drawing import FORMATS as DRAWINGS
from .plan.drawing import draw
from .source.deployment import for_deployment
from .source.json_schema import schema_text
from .source.loader import load_flow
from .source.report import FORMATS, Report

SUFFIXES = frozenset((".yaml", ".yml", ".json"))

_nodes_option = click.option(
    "--nodes",
    "sources",
    multiple=True,
    metavar="MODULE_OR_FILE",
    help="Where own nodes are defined: a module or a .py file. Repeatable. An own type that none of them holds is then an error.",
)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How to write the findings.")
@click.option("--deploy", is_flag=True, help="Be as strict as before a deployment: triggers, and no node that nothing leads to.")
@_nodes_option
@click.pass_context
def validate(context: click.Context, paths: tuple[Path, ...], format_: str, deploy: bool, sources: tuple[str, ...]) -> None:
    """Check flow definitions: files, or folders with all .yaml, .yml and .json files in them."""
    files = list(flow_files(paths))
    types = own_node_types(sources)
    loaded = [load_flow(file, types) for file in files]
    found = [problem for one in loaded for problem in (for_deployment(one) if deploy else one.problems)]
    unchecked = (str(file) for file, one in zip(files, loaded, strict=True) if not one.graph_checked)
    report = Report(tuple(map(str, files)), tuple(found), tuple(unchecked))
    text = FORMATS[format_](report)
    if text:
        click.echo(text)
    context.exit(0 if report.valid else INVALID)


@click.command()
def schema() -> None:
    """Print the JSON Schema of flow definitions, for editors."""
    click.echo(schema_text(), nl=False)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FLOW")
@click.option("--format", "format_", type=click.Choice(list(DRAWINGS)), default="ascii", show_default=True, help="What to draw for.")
@_nodes_option
def graph(file: Path, format_: str, sources: tuple[str, ...]) -> None:
    """Draw a flow: its nodes and ports, where ways part and meet, loops and scopes."""
    _, plan = load_flow(file, own_node_types(sources)).require()
    click.echo(draw(plan, format_))


def flow_files(paths: Iterable[Path]) -> Iterable[Path]:
    """These files, and all definitions in these folders. Raises UsageError for a folder without any."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(
            file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file() and not _hidden(file.relative_to(path))
        )
        if not found:
            raise UsageError(f"{path} holds no .yaml, .yml or .json file")
        yield from found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


commands = {
    "validate": "jetfleet.schemas.commands:validate",
    "schema": "jetfleet.schemas.commands:schema",
    "graph": "jetfleet.schemas.commands:graph",
}
