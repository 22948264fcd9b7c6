"""Playback: a journal through the engine, record by record, as an owner of its partition has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from jetfleet.broker.engine import Run, begin, decide, digest, reopen
from jetfleet.schemas.codec import encode_effect
from jetfleet.schemas.effects import Effect
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Record, RunReopened, RunStarted

SHORT_BYTES = 8
"""Of a digest: enough to see a difference, and a quarter of the room."""


@dataclass(frozen=True, slots=True)
class Step:
    """The run after a record, and what that led to."""

    run: Run
    effects: list[Effect]

    @property
    def state(self) -> bytes:
        return bytes.fromhex(digest(self.run))[:SHORT_BYTES]

    @property
    def of_effects(self) -> bytes:
        return sha256(b"".join(map(encode_effect, self.effects))).digest()[:SHORT_BYTES]


def play(plan: Plan, journal: Sequence[Record]) -> Iterator[Step]:
    """One step for each record. It is the same run in all of them, until it is reopened."""
    run: Run | None = None
    for place, record in enumerate(journal):
        if isinstance(record, RunReopened) and record.after == place:
            run, effects = reopen(plan, journal[:place], record)
        elif run is None:
            assert isinstance(record, RunStarted)
            run, effects = begin(plan, record)
        else:
            effects = decide(run, record)
        yield Step(run, effects)
