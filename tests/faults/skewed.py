"""A process whose wall clock is wrong: `time.time` and `time.time_ns` are off by as many seconds as stand in a file, read anew all the time.

Set `FILE` by `Shape.constants`. The monotonic clock, and the server's, stay right.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from types import FunctionType

FILE = ""
LOOK_S = 0.02
_right, _right_ns = time.time, time.time_ns
_offset_s, _looked_at = 0.0, 0.0


def wrap() -> None:
    time.time, time.time_ns = _wrong, _wrong_ns
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType) and each.__defaults__]:
        function.__defaults__ = tuple(_wrong if each is _right else each for each in function.__defaults__ or ())


def _wrong() -> float:
    return _right() + _offset()


def _wrong_ns() -> int:
    return _right_ns() + int(_offset() * 1e9)


def _offset() -> float:
    global _offset_s, _looked_at
    now = time.monotonic()
    if now > _looked_at + LOOK_S:
        _offset_s, _looked_at = float(Path(FILE).read_text() or 0), now
    return _offset_s
