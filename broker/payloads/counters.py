"""What the payload plane of this process has done, in bytes. Only sums; who asks takes differences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PlaneCounters:
    """`written`: into the arena. `handed_out`: of values that were given as views of the arena, without a copy. `passed_on`: of values
    that a node returned as it had got them, and that were not written again. `uploaded`: sent to the object store, which is nothing for
    bytes that are there already; `downloaded`: got from there.
    """

    written: int = 0
    handed_out: int = 0
    passed_on: int = 0
    uploaded: int = 0
    downloaded: int = 0
