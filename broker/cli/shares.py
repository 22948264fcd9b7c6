"""Shares on the command line: `10%`, `10` or `12.5%` of new runs."""

from __future__ import annotations

import click


def as_share(context: click.Context, option: click.Parameter, said: str | None) -> float | None:
    """The callback of an option: a percentage from 0 to 100. Raises BadParameter."""
    if said is None:
        return None
    try:
        share = float(said.strip().removesuffix("%"))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:
        raise click.BadParameter(f"{said!r} is no share; write a percentage from 0 to 100, such as 10%", context, option)
    return share


def percent(share: float) -> str:
    return f"{share:g}%"
