"""What a codec is: it turns values of one kind into buffers, and buffers into values or views again.

Guarantees of every codec: the body is the concatenation of the parts; where a type has memory of its own, a part *is* that memory, so that
the only copy of a large value is the one into the arena. What is decoded never gives access to bytes outside of the body. Bytes that
are no value of the codec are PayloadCorrupt, values that it cannot write UnencodableValue; both say which and what to do.

Does not: verify checksums (the arena does), or keep the body alive: a decoded view holds the memoryview that it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

META_BYTES_MAX = 65_535
"""The header of an entry has two bytes for the length of the meta."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as bytes. `meta` is what its codec needs besides the body; `count`: how many items it has, None for what is no list.

    The parts are views of the value where it has memory: whoever changes it before they are written changes what is written.
    """

    meta: bytes
    parts: Sequence[Buffer]
    count: int | None = None

    @property
    def nbytes(self) -> int:
        """Length of the body, in bytes."""
        return sum(memoryview(part).nbytes for part in self.parts)

    def body(self) -> bytes:
        """The parts as one: for values small enough that the copy does not matter."""
        return b"".join(self.parts)


class Codec(Protocol):
    """`name` stands in refs and entries for ever: it names a format, not a class."""

    name: str

    def encode(self, value: Any) -> Encoded:
        """Raises UnencodableValue."""

    def decode(self, body: memoryview, meta: bytes) -> Any:
        """The value, as a read-only view of `body` where the type allows it. Raises PayloadCorrupt."""

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        """What stands at a path inside, or MISSING; only what leads there is read. May be a ref or Coded that stands there.

        Raises PayloadCorrupt.
        """
