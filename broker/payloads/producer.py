"""The producer: whose output a payload is. What every entry and ref says of where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.records import Activation


@dataclass(frozen=True, slots=True)
class Producer:
    """`run` pins what is written. `again`: the node declared itself idempotent, so it may be executed again for a value that was lost."""

    run: str
    activation: Activation = ()
    again: bool = False
