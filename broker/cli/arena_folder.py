"""The arena that a command is about: where it lies, and opening it without changing anything in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from ...schemas.errors import UsageError
from ..arena.folder import ID, Folder

Command = TypeVar("Command", bound=Callable[..., Any])
IN_DATA = "arena"
"""The arena's name in the data folder."""


def arena_options(command: Command) -> Command:
    """Give a command the options that say where the arena is; its function gets the folder as `arena`."""

    @functools.wraps(command)
    def with_folder(*args: Any, arena: Path | None, data: Path, **kwargs: Any) -> Any:
        return command(*args, arena=arena or data / IN_DATA, **kwargs)

    for option in (
        click.option("--data", type=click.Path(path_type=Path), envvar="JETFLEET_DATA", default=Path(".jetfleet"), show_default=True,
                     metavar="DIR", help="The data folder of the workers, if the arena is in there."),
        click.option("--arena", type=click.Path(path_type=Path), envvar="JETFLEET_ARENA", metavar="DIR",
                     help="The arena's folder. Default: `arena` in the data folder."),
    ):  # fmt: skip
        option(with_folder)
    return cast(Command, with_folder)


def is_arena(folder: Path) -> bool:
    """Whether there is an arena: a folder that has got its id."""
    return (folder / ID).is_file()


@contextmanager
def open_folder(folder: Path) -> Iterator[Folder]:
    """The arena's folder, to look into. Raises UsageError if there is none, ArenaUnusable if it cannot be trusted."""
    if not is_arena(folder):
        raise UsageError(f"there is no arena at {folder}; say where it is with --arena DIR, or --data DIR for the folder that it is in")
    opened = Folder.open(folder, create=False)
    try:
        yield opened
    finally:
        opened.close()
