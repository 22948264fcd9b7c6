"""The options about the arena that every process with one has, and what they mean.

`with_arena` gives a command the options and, as `arena`, what was said. In `up` the same options are handed on to its workers.
`arena_option` is the first of them alone, for processes that only need to know where the arena is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from ...schemas.sizes import size_text
from ..arena.settings import ArenaSettings
from .sizes import size

Command = TypeVar("Command", bound=Callable[..., Any])
KEEP_S_DEFAULT = 60.0
ARENA_BYTES_MIN = 1 << 20
"""In less there is no room for any large value: all of them would wait for it in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaOptions:
    folder: Path | None
    max_bytes: int | None
    run_max_bytes: int | None
    keep_s: float

    def settings(self, data: Path) -> ArenaSettings:
        """`data`: the folder in which the arena lies by default."""
        return ArenaSettings(self.folder or data / "arena", self.max_bytes, self.run_max_bytes, self.keep_s)

    def words(self) -> list[str]:
        """The options once more, for another process."""
        said = {"--arena": self.folder, "--arena-max": self.max_bytes, "--arena-run-max": self.run_max_bytes, "--arena-keep": self.keep_s}
        return [word for option, value in said.items() if value is not None for word in (option, str(value))]


def with_arena(command: Command) -> Command:
    """See the module."""

    @functools.wraps(command)
    def run(*args: Any, arena: Path | None, arena_max: int | None, arena_run_max: int | None, arena_keep: float, **options: Any) -> Any:
        said = ArenaOptions(folder=arena, max_bytes=arena_max, run_max_bytes=arena_run_max, keep_s=arena_keep)
        return command(*args, arena=said, **options)

    for option in reversed(_OPTIONS):
        run = option(run)
    return cast(Command, run)


def _arena_size(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    bytes = size(context, option, text)
    if bytes is not None and bytes < ARENA_BYTES_MIN:
        raise click.BadParameter(f"{text!r} is too small for large values; say at least {size_text(ARENA_BYTES_MIN)}")
    return bytes


def _seconds(context: click.Context, option: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which is in every range
        raise click.BadParameter("nan is no time")
    return value


arena_option = click.option(
    "--arena", type=click.Path(path_type=Path), envvar="JETFLEET_ARENA", metavar="DIR",
    help="Folder of this host's arena, for large values. Default: `arena` in the data folder.",
)  # fmt: skip
_OPTIONS = (
    arena_option,
    click.option("--arena-max", callback=_arena_size, metavar="SIZE",
                 help="How large the arena may become. Default: a quarter of its disk."),
    click.option("--arena-run-max", callback=_arena_size, metavar="SIZE", help="How much of it one run may take. Default: half."),
    click.option("--arena-keep", type=click.FloatRange(0), default=KEEP_S_DEFAULT, show_default=True, metavar="SECONDS", callback=_seconds,
                 help="How long values stay in the arena after the end of their run."),
)  # fmt: skip
