"""Losses: payloads of a run that are nowhere any more, and who waits for them to be made again.

    again       completed activations that are executed once more, or are to be
    lost        activations that found payloads lost: which producers they still wait for, and how often that has happened
    moved       producers that have been executed again before, and as which attempt
    relocated   the places of lost values → the values that were made in their stead

It is state, and how that state changes by itself; `recovery` decides.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload, decode, encode, refs_in
from ...schemas.records import Activation
from ...schemas.ref import Ref, may_hold_ref
from ...schemas.values import MISSING, get

Place: TypeAlias = tuple[str, str, int, int, str]
"""Where a value lies: the entry in an arena, or the digest of what lies in the object store only."""


class Again:
    """`out`: its task is out, as that attempt."""

    __slots__ = ("attempt", "out")

    def __init__(self, attempt: int = 0, out: bool = False) -> None:
        self.attempt, self.out = attempt, out


class Lost:
    """`needs` are the producers that it waits for; `rounds` counts how often it has begun to wait."""

    __slots__ = ("needs", "rounds")

    def __init__(self, needs: list[Activation] | None = None, rounds: int = 0) -> None:
        self.needs, self.rounds = needs or [], rounds


class Losses:
    __slots__ = ("again", "lost", "moved", "relocated")

    def __init__(self) -> None:
        self.again: dict[Activation, Again] = {}
        self.lost: dict[Activation, Lost] = {}
        self.moved: dict[Activation, int] = {}
        self.relocated: dict[Place, Payload] = {}

    def waiting_for(self, producer: Activation) -> list[Activation]:
        """Who waits for the producer's new output, in the order in which they began to."""
        return [waiter for waiter, lost in self.lost.items() if producer in lost.needs]

    def is_out(self, address: Activation, attempt: int) -> bool:
        """Whether that attempt, to make something again, is out."""
        again = self.again.get(address)
        return again is not None and again.out and again.attempt == attempt

    def held(self) -> list[Activation]:
        """What is to be executed again, waits for nothing, and is not out: it was held by a pause."""
        return [
            address for address, again in self.again.items() if not again.out and not (address in self.lost and self.lost[address].needs)
        ]

    def depends(self, address: Activation, other: Activation) -> bool:
        """Whether an activation waits for the other one, or for one that does, or is it."""
        seen, ahead = {address}, [address]
        while ahead:
            lost = self.lost.get(ahead.pop())
            ahead += [need for need in (lost.needs if lost is not None else ()) if need not in seen]
            seen.update(ahead)
        return other in seen

    def give_up(self, address: Activation) -> list[tuple[Activation, int]]:
        """The activation has ended, however. Which attempts, of producers that nobody waits for any more, are to be called back."""
        called_back: list[tuple[Activation, int]] = []
        ahead = [address]
        while ahead:
            lost = self.lost.pop(ahead.pop(), None)
            for producer in lost.needs if lost is not None else ():
                if producer in self.again and not self.waiting_for(producer):
                    again = self.again.pop(producer)
                    called_back += [(producer, again.attempt)] if again.out else []
                    ahead.append(producer)
        return called_back

    def relocate(self, values: list[tuple[Ref, Any]]) -> None:
        """From now on each value stands for the whole of what its ref refers to, also where an earlier one had come to stand for it."""
        # The object store knows bytes by their digest: the same bytes lie where they lay.
        new = {place_of(ref): encode(value) for ref, value in values if value != ref}
        before, self.relocated = self.relocated, new
        self.relocated = {**{place: self.payload(payload) for place, payload in before.items()}, **new}

    def payload(self, payload: Payload) -> Payload:
        """The payload with what has been made again in the place of what was lost."""
        if not self.relocated or not may_hold_ref(payload):
            return payload
        try:
            if not any(place_of(ref) in self.relocated for ref in refs_in(payload)):
                return payload
            return encode(self._value(decode(payload)))
        except UnreadablePayload:
            return payload  # whoever has to read it will say so

    def _value(self, value: Any) -> Any:
        if type(value) is Ref:
            return self._of(value)
        if isinstance(value, dict):
            return {key: self._value(item) for key, item in value.items()}
        return [self._value(item) for item in value] if isinstance(value, list) else value

    def _of(self, ref: Ref) -> Any:
        new = self.relocated.get(place_of(ref))
        found = MISSING if new is None else get(decode(new), ref.path)
        return ref if found is MISSING else found


def place_of(ref: Ref) -> Place:
    return (*ref.entry, "" if ref.host else ref.digest)
