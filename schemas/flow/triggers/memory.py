"""Params of `memory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..block import Spelled
from .values import Capacity


class MemoryParams(Spelled):
    """Fired from the same process; for tests and embedding."""

    spellings: ClassVar[Mapping[str, str]] = {"capacity": "buffer_size"}

    buffer_size: Capacity = 1_000
