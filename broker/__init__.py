"""The broker's side: the engine, what carries it on NATS, and the client of a fleet.

`Client` and what belongs to it are loaded when they are first asked for: who only wants the engine needs no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Client, Result, RunHandle

__all__ = ["Client", "Result", "RunHandle"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
