"""Sizes as people read them, in messages and on the command line."""

from __future__ import annotations

_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def size_text(bytes: int) -> str:
    """In the largest binary unit of which there is at least one."""
    for unit, factor in _UNITS:
        if bytes >= factor:
            return f"{bytes / factor:.1f} {unit}"
    return f"{bytes} bytes"
