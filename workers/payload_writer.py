"""A payload that a node writes piece by piece: a file in the arena that becomes the node's output, or a part of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ..schemas.errors import UsageError
from ..schemas.ref import Ref

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .handover import Handover


class PayloadWriter(io.RawIOBase):
    """A writable file. Made by `context.writer()`; `value` is what to return once everything is written.

    What was written is given up if the block around it raises. Blocks while the arena is full, so not for the event loop: in mode async
    return an async generator of chunks instead.
    """

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self._entry = handover.opened()
        self._ref: Ref | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        """Append bytes; how many they were. Raises ArenaFull, RunTooLarge."""
        if self.closed:
            raise ValueError("the payload is closed: nothing can be written to it any more")
        self._handover.write(self._entry, data)
        return memoryview(data).nbytes

    def close(self) -> None:
        """Everything is written."""
        if not self.closed:
            self._ref = self._handover.plane.finished(self._entry, self._handover.rules)
        super().close()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and not self.closed:
            self._entry.abort()
            super().close()
        self.close()

    @property
    def value(self) -> Ref:
        """What stands for the bytes in the node's output. Raises UsageError while it is open, and after it was given up."""
        if self._ref is None:
            raise UsageError("the payload is not written to its end: leave the `with` block, or close it, before you use its value")
        return self._ref
