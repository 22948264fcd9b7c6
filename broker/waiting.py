"""Waiting: the questions about runs that wait for people and signals, as they travel between a client and the owners of partitions.

    waiting.<p>   who waits, a page at a time
    decided.<p>   what became of approvals
    takes.<p>     whether runs would take these signals

The form is internal to one version. An owner answers when it has taken in everything that is in its WAL.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ..schemas import subjects
from ..schemas.effects import Outcome
from ..schemas.errors import JetfleetError
from ..schemas.payload import NULL, Payload
from ..schemas.records import SignalReceived
from .asking import ask_patiently
from .client import BrokerError, Connection

LIMIT_MAX = 1_000
TAKEN, UNKNOWN_RUN, RUN_ENDED, REJECTED = 0, 1, 2, 3
"""Whether a run would take a signal, or why not."""
WAITS, DECIDED, CALLED_OFF, FORGOTTEN = 0, 1, 2, 3
"""What became of an approval: it waits; `outcome` says what; the run goes on without it, or is over; the owner does not know any more."""


class SignalRejected(JetfleetError):
    """The run would not take this signal or answer. Nothing was written."""

    code = "SIGNAL_REJECTED"

    def __init__(self, run: str, why: str) -> None:
        super().__init__(f"run {run} does not take it: {why}")


class WaitingQuestion(msgspec.Struct, array_like=True, frozen=True):
    """`after`: run and wait behind which the page begins. `run` set: only what this one waits for."""

    kind: str
    limit: int
    flow: str | None = None
    assignee: str | None = None
    name: str | None = None
    run: str | None = None
    after: tuple[str, int] = ("", 0)


class Waiting(msgspec.Struct, array_like=True, frozen=True):
    """One approval or signal that a run waits for. `node`: the activation's name. `wait`: which one of the run it is.

    `due` is in ms since the epoch, None without a timeout. `metadata` and `schema` are payloads, the latter NULL where there is none.
    """

    run: str
    flow: str
    node: str
    activation: tuple[int | str, ...]
    wait: int
    kind: str
    name: str
    assignees: tuple[str, ...] = ()
    metadata: Payload = NULL
    due: int | None = None
    schema: Payload = NULL


class WaitingPage(msgspec.Struct, array_like=True, frozen=True):
    """`next`: where the next page begins, None behind the last. A page may hold less than was asked for, also nothing."""

    rows: list[Waiting]
    next: tuple[str, int] | None = None


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """What became of an approval."""

    state: int
    outcome: Outcome | None = None


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """Why a run takes a signal or not: TAKEN, UNKNOWN_RUN, RUN_ENDED (`why`: how) or REJECTED (`why`: where and what is expected)."""

    state: int
    why: str = ""


async def decision(connection: Connection, partitions: int, run: str, wait: int, *, patience_s: float) -> Decision:
    """What became of an approval, by what its owner knows now. Raises BrokerError."""
    subject = subjects.decided(subjects.partition_of(run, partitions))
    return await ask_patiently(connection, subject, (run, wait), Decision, patience_s)


async def refusals(
    connection: Connection, partitions: int, signals: Sequence[SignalReceived], *, patience_s: float
) -> list[Refusal | BrokerError]:
    """Whether each signal would be taken, in their order; the error where the owner does not say."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, signal in enumerate(signals):
        places[subjects.partition_of(signal.run, partitions)].append(place)
    found: dict[int, Refusal | BrokerError] = {}

    async def ask(partition: int, asked: list[int]) -> None:
        try:
            question = [signals[place] for place in asked]
            answers = await ask_patiently(connection, subjects.takes(partition), question, list[Refusal], patience_s)
            if len(answers) != len(asked):
                raise BrokerError(f"the owner of partition {partition} has answered {len(answers)} of {len(asked)} questions")
            found.update(zip(asked, answers, strict=True))
        except BrokerError as error:
            found.update(dict.fromkeys(asked, error))

    await asyncio.gather(*(ask(partition, asked) for partition, asked in places.items()))
    return [found[place] for place in range(len(signals))]
