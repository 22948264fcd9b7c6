"""What a client of a fleet may be told besides what the broker says: each with what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ...schemas.errors import JetfleetError

SHOWN_MAX = 5
"""Ids in a message."""


def nearest(name: str, there: Sequence[str], least: float = 0.6) -> str:
    """Which of them was meant, for a message: ` (did you mean 'x'?)`, or nothing where none is as near as `least`, from 0 to 1."""
    near = difflib.get_close_matches(name, there, n=1, cutoff=least)
    return f" (did you mean {near[0]!r}?)" if near else ""


def status_in_words(status: str) -> str:
    """As it follows `has`: `has failed`, `has been cancelled`."""
    return f"been {status}" if status in ("cancelled", "killed") else status


class UnknownFlow(JetfleetError):
    """No flow of that name is deployed. Nothing was published."""

    code = "UNKNOWN_FLOW"

    def __init__(self, name: str, deployed: Sequence[str]) -> None:
        there = ", ".join(sorted(deployed)) or "none yet"
        super().__init__(
            f"no flow is called {name!r}{nearest(name, deployed)}; deployed are: {there}. Deploy it with `jetfleet deploy FILE`"
        )


class UnknownTrigger(JetfleetError):
    """The deployed version of the flow has no trigger with that id. Nothing was published."""

    code = "UNKNOWN_TRIGGER"

    def __init__(self, flow: str, trigger: str, there: Sequence[str]) -> None:
        has = ", ".join(there) or "none"
        super().__init__(f"flow {flow!r} has no trigger {trigger!r}{nearest(trigger, there)}; it has: {has}")


class UnknownRun(JetfleetError):
    """Neither the owner of its partition nor the read model knows the run."""

    code = "UNKNOWN_RUN"

    def __init__(self, run: str, there: Sequence[str] = (), why: str = "") -> None:
        hint = why or "`jetfleet runs list` shows those there are (one that began just now may take a moment)"
        super().__init__(f"there is no run {run!r}{'' if why else nearest(run, there, 0.8)}; {hint}")


class AmbiguousRun(JetfleetError):
    """Several ids begin like this."""

    code = "AMBIGUOUS_RUN"

    def __init__(self, text: str, runs: Sequence[str]) -> None:
        shown = ", ".join(runs[:SHOWN_MAX]) + (", …" if len(runs) > SHOWN_MAX else "")
        super().__init__(f"several runs begin with {text!r}: {shown}; say more of the id")


class CollectionForgotten(JetfleetError):
    """The event was taken into a run with others, and the partition has changed hands since."""

    code = "COLLECTION_FORGOTTEN"

    def __init__(self, event: str) -> None:
        super().__init__(
            f"event {event} became a part of a run, and nobody remembers of which since a partition changed hands; "
            "`jetfleet runs list` shows the runs of its flow"
        )


class RunEnded(JetfleetError):
    """A run that has ended takes nothing in any more. Nothing was written."""

    code = "RUN_ENDED"

    def __init__(self, run: str, status: str) -> None:
        super().__init__(
            f"run {run} has {status_in_words(status)} already; it takes nothing in any more. `jetfleet runs show {run}` says how"
        )


class RunEnding(JetfleetError):
    """The run undoes what it did, and will have ended then. Nothing was written."""

    code = "RUN_ENDING"

    def __init__(self, run: str) -> None:
        super().__init__(
            f"run {run} is ending already: it undoes what it did; `jetfleet runs watch {run}` follows it, `runs kill` ends it at once"
        )


class AlreadyPaused(JetfleetError):
    """Nothing was written."""

    code = "ALREADY_PAUSED"

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} is paused already; `jetfleet runs resume {run}` lets it go on")


class NotPaused(JetfleetError):
    """Nothing was written."""

    code = "NOT_PAUSED"

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} is not paused; `jetfleet runs show {run}` says what it waits for")


class NotEnded(JetfleetError):
    """The time to wait for a result is over; the run goes on."""

    code = "NOT_ENDED"

    def __init__(self, run: str, waited_s: float) -> None:
        super().__init__(f"run {run} has not ended after {waited_s:g} s; it goes on. `jetfleet runs show {run}` says what it waits for")


class SentLately(JetfleetError):
    """The letter was published less than two minutes ago under the same id, so the server would drop it."""

    code = "SENT_LATELY"
