"""What somebody who answers an approval may be told: each with what was decided instead, or what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ...schemas.effects import Outcome
from ...schemas.errors import JetfleetError

SHOWN_MAX = 5


class NotWaiting(JetfleetError):
    """The run waits for no approval of that name. Nothing was written."""

    code = "NOT_WAITING"

    def __init__(self, run: str, hook: str, pending: Sequence[str]) -> None:
        named = ", ".join(map(repr, pending[:SHOWN_MAX])) + (", …" if len(pending) > SHOWN_MAX else "")
        instead = f"it waits for {named}" if pending else "it waits for none"
        super().__init__(
            f"run {run} waits for no approval {hook!r} now; {instead}. It may have been decided: `jetfleet runs history {run}` says by whom"
        )


class AlreadyAnswered(JetfleetError):
    """Somebody else was first, or the timeout. `outcome` says what was decided. This answer changes nothing."""

    code = "ALREADY_ANSWERED"

    def __init__(self, run: str, hook: str, outcome: Outcome) -> None:
        self.run, self.hook, self.outcome = run, hook, outcome
        super().__init__(f"{_called(run, hook)} {_decided(outcome)}; this answer changes nothing")


class TokenUsed(AlreadyAnswered):
    """The approval that the token names was answered."""

    code = "TOKEN_USED"


class TokenExpired(AlreadyAnswered):
    """Nobody answered in time, and the timeout has decided."""

    code = "TOKEN_EXPIRED"


class WaitCalledOff(JetfleetError):
    """The run goes on, but does not wait for this any more: a branch was given up, or a scope began anew."""

    code = "WAIT_CALLED_OFF"

    def __init__(self, run: str, hook: str) -> None:
        super().__init__(f"{_called(run, hook)} is asked no more: the run went on without it; `jetfleet runs show {run}` says how")


class AnswerUnconfirmed(JetfleetError):
    """The answer is on disk, but the owner of the run has not said whether it was the first."""

    code = "ANSWER_UNCONFIRMED"

    def __init__(self, run: str, hook: str, id: str) -> None:
        super().__init__(
            f"the answer to {_called(run, hook)} is on disk, but nobody has said yet whether it came first; answer again with the id {id!r}"
        )


def _called(run: str, hook: str) -> str:
    return f"approval {hook!r} of run {run}" if hook else f"the approval of run {run}"


def _decided(outcome: Outcome) -> str:
    when = datetime.fromtimestamp(outcome.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if outcome.timed_out:
        return f"was answered by nobody in time: at {when} the timeout decided {outcome.decision}"
    by = f" by {outcome.by}" if outcome.by else ""
    why = f" ({outcome.reason})" if outcome.reason else ""
    return f"was decided{by} at {when}: {outcome.decision}{why}"
