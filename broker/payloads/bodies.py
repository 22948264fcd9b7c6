"""Bodies: where the bytes of refs lie on this host, and whether they are the right ones.

A body lies in the arena as its producer wrote it, or as a copy that was brought from elsewhere: in the arena too, or in memory where this
process has no arena. Thread-safe as far as nodes in threads use it: to read and to check.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from ...schemas.payload_errors import PayloadElsewhere, PayloadLost
from ...schemas.ref import Ref
from ..arena.arena import Arena
from ..arena.settings import ArenaSettings

CHECKED_AT_ONCE_BYTES = 1 << 20
"""Checking one MiB takes 0.1 ms or less; larger bodies are checked beside the work on them."""
COPIES_MAX = 10_000
"""Bodies of other hosts that this process remembers to have copied."""

Key: TypeAlias = str | tuple[str, str, int, int]


class Bodies:
    """The arena is opened when it is first needed. `settings` None: this process has none."""

    def __init__(self, settings: ArenaSettings | None) -> None:
        self.settings = settings
        self.opened: Arena | None = None
        """The arena, if anybody has needed it so far."""
        self._closed = False
        self._opening = threading.Lock()  # nodes in threads come here at once
        self._copies: dict[Key, Ref | memoryview] = {}
        self._damaged: set[Key] = set()
        """Bodies whose bytes in this arena are not the right ones, and which are to be had elsewhere."""

    @property
    def arena(self) -> Arena | None:
        """Raises ArenaUnusable when it cannot be opened. One whose folder somebody has removed is made anew, under the same id: what was in
        it is lost, and can be made again.
        """
        if self.settings is not None and not self._closed and (self.opened is None or not self.opened.is_there):
            with self._opening:
                if self.opened is None or not self.opened.is_there:
                    self.opened = Arena.open(self.settings, host="" if self.opened is None else self.opened.host)
        return self.opened

    def close(self) -> None:
        self._closed = True
        self._copies.clear()
        if self.opened is not None:
            self.opened.close()

    def view(self, ref: Ref, *, verify: bool = False) -> memoryview:
        """The bytes of a ref that is here, without its path. `verify`: check them however many they are.

        Raises PayloadElsewhere, PayloadLost, PayloadCorrupt, ArenaUnusable.
        """
        arena = self.arena  # also for a copy: another process of this host may have fetched it, and this one not have opened the arena yet
        found = self._found(ref, arena)
        if isinstance(found, memoryview):
            return found
        assert arena is not None
        return arena.view(found, verify=verify or ref.length <= CHECKED_AT_ONCE_BYTES)

    def check(self, refs: Iterable[Ref]) -> None:
        """Check the bodies that were too large to be checked at once. Takes its time: call it in a thread.

        Raises PayloadCorrupt, PayloadLost; PayloadElsewhere if somebody else has the right bytes of all that is damaged here.
        """
        elsewhere: PayloadElsewhere | None = None
        for ref in refs:
            found = self._found(ref, self.arena)
            if not isinstance(found, Ref) or self.opened is None:
                continue
            try:
                self.opened.verify(found)
            except PayloadLost as error:
                if self._copies.pop(key(ref), None) is None and not ref.digest:
                    raise
                self._damaged.add(key(ref))
                elsewhere = PayloadElsewhere(f"{error}; it is to be had elsewhere", ref)
        if elsewhere is not None:
            raise elsewhere

    def are_here(self, ref: Ref) -> bool:
        """Whether the bytes can be had on this host. Raises PayloadLost if they cannot, and nobody else ever had them."""
        if key(ref) in self._damaged and key(ref) not in self._copies:
            return False
        try:
            self.view(ref)
        except PayloadElsewhere:
            return False
        except PayloadLost:
            if self._copies.pop(key(ref), None) is None and not ref.digest:
                raise
            return False
        return True

    def only_here(self, ref: Ref) -> bool:
        """Whether this host's arena is the one place where the bytes may be: who reads them finds them there, or they are lost."""
        return not ref.digest and key(ref) not in self._copies and self.settings is not None and _holds(self.arena, ref)

    # --- copies

    def add_copy(self, ref: Ref, copy: Ref | memoryview) -> None:
        """From now on the ref's bytes are read there."""
        self.adopt({key(ref): copy})

    def copies_of(self, refs: Iterable[Ref]) -> dict[Key, Ref]:
        """Where the bodies of these refs were copied to, for another process with this arena."""
        found = {key(ref): self._copies.get(key(ref)) for ref in refs}
        return {name: copy for name, copy in found.items() if isinstance(copy, Ref)}

    def adopt(self, copies: Mapping[Key, Ref | memoryview]) -> None:
        """What `copies_of` another process said."""
        if len(self._copies) >= COPIES_MAX:
            self._copies.clear()
        self._copies.update(copies)

    def forget_copies(self) -> None:
        self._copies.clear()

    def _found(self, ref: Ref, arena: Arena | None) -> Ref | memoryview:
        """Where the body lies on this host. Raises PayloadElsewhere."""
        copy = self._copies.get(key(ref))
        if copy is not None:
            return copy
        if _holds(arena, ref):
            return ref
        raise PayloadElsewhere(f"{ref} is not on this host", ref)


def _holds(arena: Arena | None, ref: Ref) -> bool:
    return arena is not None and arena.holds(ref)


def key(ref: Ref) -> Key:
    """What tells bodies apart."""
    return ref.entry if ref.host else ref.digest
