"""Standing: how a run is at this moment, which decides whether a verb makes sense for it.

Its owner knows best. Where that one does not have it (it ended a while ago) or does not answer, the read model says it, which may be a
moment behind: what is written for a run then is taken in or ignored by whoever owns it next, so that is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.errors import JetfleetError
from ...schemas.messages import Ended, RunView
from ...schemas.records import Error
from ..client import Connection
from ..engine.inspection import UNTIL_RESUMED
from ..read_model import questions
from ..read_model.fields import ENDED
from ..read_model.journal import ask_owner
from ..read_model.views import LIMIT_MAX
from .errors import AlreadyPaused, AmbiguousRun, NotPaused, RunEnded, RunEnding, UnknownRun
from .unstarted import why_not_begun

FOR_OPEN_ONES = frozenset(("cancel", "kill", "pause", "resume", "signal"))
"""Verbs that say nothing to a run that has ended."""
UNDOING = "compensating"
BEGUN_LATELY = LIMIT_MAX
"""Among how many runs the one is looked for that was meant by an id that no run has."""

BEGINNING_MIN = 4
"""Characters of an id behind the flow's name that say which run is meant. With fewer, one that is alone today is so by chance."""


@dataclass(frozen=True, slots=True)
class Standing:
    """`status`: running, paused, compensating, completed, failed, cancelled or killed. `ended_at` in ms since the epoch.

    `with_flow`: it is paused because its flow is; nobody has paused the run itself.
    """

    run: str
    status: str
    ended_at: int | None = None
    error: Error | None = None
    with_flow: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ENDED


async def standing(connection: Connection, run: str, partitions: int) -> Standing:
    """How the run is. Raises UnknownRun, ReaderAbsent where only the read model could tell, BrokerError."""
    answer = await ask_owner(connection, run, partitions)
    if isinstance(answer, RunView):
        held = [detail for _, reason, detail, _ in answer.blocked if reason == "paused"]
        return Standing(run, answer.status, with_flow=bool(held) and UNTIL_RESUMED not in held)
    if isinstance(answer, Ended):
        return Standing(run, answer.status, answer.ended_at, answer.error)
    found = await questions.run(connection, run)
    if found is None:
        raise UnknownRun(run)
    return Standing(run, found.row.status, found.row.ended_at, found.error)


def refusal(verb: str, now: Standing) -> JetfleetError | None:
    """Why the verb makes no sense for a run that is like this; None if it does, or if somebody else has to say so (retry, fork)."""
    if verb in FOR_OPEN_ONES and now.ended:
        return RunEnded(now.run, now.status)
    if now.status == UNDOING and verb in ("cancel", "pause"):
        return RunEnding(now.run)
    if verb == "pause" and now.status == "paused" and not now.with_flow:
        return AlreadyPaused(now.run)
    if verb == "resume" and now.status != "paused":
        return NotPaused(now.run)
    return None


async def full_id(connection: Connection, text: str, partitions: int) -> str:
    """The id of the run that is called so, or whose id alone begins so. Raises UnknownRun, AmbiguousRun, BrokerError.

    Without a reader only whole ids of open runs are known.
    """
    if await ask_owner(connection, text, partitions) is not None or await questions.run(connection, text) is not None:
        return text
    if text and not set(text) & set(' \t\n()"=<>!*'):
        page = await questions.runs(connection, f"id = {text}*", limit=10)
        if len(page.rows) == 1 and len(text) >= len(page.rows[0].flow) + 1 + BEGINNING_MIN:
            return page.rows[0].id
        if len(page.rows) > 1:
            raise AmbiguousRun(text, sorted(row.id for row in page.rows))
    lately = await questions.runs(connection, limit=BEGUN_LATELY)
    raise UnknownRun(text, [row.id for row in lately.rows], await why_not_begun(connection, text))
