"""`jetfleet payload …`: a large value, printed or saved, wherever it lies.

0    done        1    it is lost, or not to be had from here        2    nothing is called so, or it has no such form
"""

from __future__ import annotations

from pathlib import Path

import click

from ...schemas.sizes import size_text
from ..credentials import Credentials
from ..loop import run
from .arena_folder import arena_options
from .options import credentials_option, form_option, nats_option
from .payload_files import save_value
from .payload_finder import Finder
from .payload_place import Place, parse_place
from .payload_rendering import show_value
from .printing import note

place_argument = click.argument("place", metavar="REF|RUN:NODE[.PATH]")


@click.group("payload", short_help="Print or save large values.")
def payload_command() -> None:
    """Large values: those that runs show as refs, such as ref:host/segment/1/4096."""


@payload_command.command("cat")
@place_argument
@nats_option
@credentials_option
@arena_options
@click.option("--raw", is_flag=True, help="Bytes onto a terminal too.")
@form_option
def cat_command(place: str, url: str, credentials: Credentials | None, arena: Path, raw: bool, form: str) -> None:
    """Print a value: texts and bytes as they are, others as JSON, of arrays and tables the beginning.

    \b
    jetfleet payload cat orders-4f2c8d1e9a7b3c50:load.rows[3]
    jetfleet payload cat orders-4f2c8d1e9a7b3c50:output -o json
    """
    run(_cat(Finder(arena, url, credentials), parse_place(place), form, raw))


@payload_command.command("save")
@place_argument
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@nats_option
@credentials_option
@arena_options
def save_command(place: str, file: Path, url: str, credentials: Credentials | None, arena: Path) -> None:
    """Save a value to a file, in the format of the file's name: .npy, .parquet, .arrow, .csv, .json, .png; else its bytes.

    \b
    jetfleet payload save orders-4f2c8d1e9a7b3c50:load.rows rows.parquet
    """
    run(_save(Finder(arena, url, credentials), parse_place(place), file))


async def _cat(finder: Finder, place: Place, form: str, raw: bool) -> None:
    async with finder.value(place) as value:
        show_value(value, form, raw)


async def _save(finder: Finder, place: Place, file: Path) -> None:
    async with finder.value(place) as value:
        note(f"saved: {file}, {size_text(save_value(value, file))}")
