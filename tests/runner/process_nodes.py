"""Own nodes that run in processes. They stand in a file of their own, where another process finds them."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from jetfleet.workers import node


@node("proc.where", mode="process")
def where(places: list[Any]) -> list[Any]:
    return [*places, os.getpid()]


@node("proc.segfault", mode="process")
def segfault(value: Any) -> None:
    ctypes.string_at(0)


@node("proc.spin", mode="process")
def spin(value: Any) -> None:
    while True:
        pass
