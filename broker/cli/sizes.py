"""Sizes on the command line: `10GB`, `512MiB`, or a number of bytes."""

from __future__ import annotations

import re

import click

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def size(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """The number of bytes, as an option's `callback`. Raises BadParameter."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:([KMGT]I?B)|B?)", text.strip().upper(), re.ASCII)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size; say 10GB, 512MiB, or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2] or "B"])
