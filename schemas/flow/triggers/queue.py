"""Params of `queue`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..block import Spelled
from ..definition import Text
from .values import Capacity


class QueueParams(Spelled):
    """A named queue that programs send messages to."""

    spellings: ClassVar[Mapping[str, str]] = {"buffer_size": "capacity"}

    name: Text | None = None
    capacity: Capacity = 100
