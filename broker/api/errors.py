"""What a client of a fleet may be told besides what the broker says: each with what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ...schemas.errors import JetfleetError


def nearest(name: str, there: Sequence[str]) -> str:
    """Which of them was meant, for a message: ` (did you mean 'x'?)`, or nothing."""
    near = difflib.get_close_matches(name, there, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


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

    def __init__(self, run: str) -> None:
        super().__init__(f"there is no run {run!r}; `jetfleet runs list` shows those there are (one that began just now may take a moment)")


class NotEnded(JetfleetError):
    """The time to wait for a result is over; the run goes on."""

    code = "NOT_ENDED"

    def __init__(self, run: str, waited_s: float) -> None:
        super().__init__(f"run {run} has not ended after {waited_s:g} s; it goes on. `jetfleet runs show {run}` says what it waits for")


class SentLately(JetfleetError):
    """The letter was published less than two minutes ago under the same id, so the server would drop it."""

    code = "SENT_LATELY"
