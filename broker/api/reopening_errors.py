"""What may be said instead of reopening a run. Nothing was written then."""

from __future__ import annotations

from collections.abc import Sequence

from ...schemas.errors import JetfleetError
from ..engine import NeverRan

NAMED_MAX = 20


def named(names: Sequence[str]) -> str:
    """The names, or the first of them, for a message."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return (", ".join(names[:NAMED_MAX]) or "none") + more


class RunOpen(JetfleetError):
    """It goes on by itself."""

    code = "RUN_OPEN"

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} is open, so it cannot be tried again; `jetfleet runs show {run}` says what it waits for")


class NotFailed(JetfleetError):
    """It completed."""

    code = "NOT_FAILED"

    def __init__(self, run: str, status: str) -> None:
        super().__init__(f"run {run} is {status}; only failed, cancelled and killed runs are tried again. Fork it at a node instead")


class NothingToRetry(JetfleetError):
    """What made it fail is no record: the same values lead to the same end."""

    code = "NOTHING_TO_RETRY"

    def __init__(self, run: str, error: str) -> None:
        super().__init__(
            f"run {run} would fail again at once: {error}. Fork it at an earlier node, with other values or the current version"
        )


class JournalGone(JetfleetError):
    """Parts of its journal are not in the history any more."""

    code = "JOURNAL_GONE"

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(f"the journal of run {run} is not whole, so there is nothing to go on from: {reason}")


class NoSuchValue(JetfleetError):
    """There is nothing at that place that could be set."""

    code = "NO_SUCH_VALUE"

    def __init__(self, what: str, reason: str, there: Sequence[str]) -> None:
        super().__init__(f"{what!r} cannot be set: {reason}; there are: {named(there)}")


class VersionUnfit(JetfleetError):
    """The current version of the flow cannot go on from what the run has done."""

    code = "VERSION_UNFIT"

    def __init__(self, flow: str, version: str, reason: str) -> None:
        super().__init__(f"version {version} of flow {flow!r} cannot go on from this run: {reason}. Fork it in its own version")


__all__ = ["JournalGone", "NeverRan", "NoSuchValue", "NotFailed", "NothingToRetry", "RunOpen", "VersionUnfit", "named"]
