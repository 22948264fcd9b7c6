"""Every exception that jetfleet raises on purpose.

    JetfleetError
    ├── InvalidFlow             a definition that does not validate; carries all its problems
    ├── SelectorError           a `${…}` or a path that cannot be read; knows where in the value it stands
    ├── ConditionError          a condition that cannot be read
    ├── EventRejected           an event that the flow's `inputs` schema refuses
    ├── UsageError              a call that makes no sense (which trigger?), with what to do instead
    ├── UnreadablePayload       bytes that are no value
    ├── UnencodableValue        a value that has no bytes
    ├── UnreadableRecord        bytes that are no record (or of a newer version)
    └── NodeError               raised by node code; carries the decision what happens next
        ├── Permanent           never tried again
        └── Retry(after=…)      tried again, after that many seconds

Each has a `code`, stable and greppable, that the CLI prints before the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .flow.problems import Problem


class JetfleetError(Exception):
    """The root: catch this to catch everything that jetfleet raises on purpose."""

    code = "ERROR"


class InvalidFlow(JetfleetError):
    """The definition has problems; `problems` holds all of them, in the order of their positions."""

    code = "INVALID_FLOW"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SelectorError(JetfleetError):
    """A selector or path is no selector or path. `path` leads to the text that holds it, inside the value it was found in."""

    code = "INVALID_SELECTOR"

    def __init__(self, message: str, hint: str = "", path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.hint, self.path = hint, path


class ConditionError(JetfleetError):
    """A condition has an unknown form or operator, a bad pattern, or an expression that cannot be read."""

    code = "INVALID_CONDITION"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class EventRejected(JetfleetError):
    """The event does not match the flow's `inputs` schema. Nothing was started."""

    code = "EVENT_REJECTED"


class UsageError(JetfleetError):
    """The call cannot be carried out as made; the message says what to do instead."""

    code = "USAGE"


class SeveralTriggers(UsageError):
    """It is not said which of a flow's triggers is meant. `triggers`: those that it may be."""

    def __init__(self, flow: str, triggers: Sequence[str], naming: str = "") -> None:
        """`naming`: how to name one where the call was made."""
        naming = naming or f"--trigger (trigger=… in Python, events.{flow}.TRIGGER as the subject of a message)"
        super().__init__(f"flow {flow!r} has several triggers: {', '.join(triggers)}; name one with {naming}")
        self.flow, self.triggers = flow, tuple(triggers)


class UnreadablePayload(JetfleetError):
    """The bytes of a payload are no value."""

    code = "UNREADABLE_PAYLOAD"


class UnencodableValue(JetfleetError):
    """The value has no form as bytes: a function, a cycle, an integer beyond 64 bits."""

    code = "UNENCODABLE"


class UnreadableRecord(JetfleetError):
    """The bytes are no record of a version that this code knows."""

    code = "UNREADABLE_RECORD"


class NodeError(JetfleetError):
    """An error from node code, with the word by which retry policies and error handlers know it.

    `type` is what `retry.non_retryable` lists and what `${scope.error.type}` shows; `details` is any JSON-like value.
    """

    code = "NODE_FAILED"

    def __init__(
        self, message: str, *, type: str = "node_error", retryable: bool = True, details: Any = None, after: float | None = None
    ) -> None:
        super().__init__(message)
        self.type, self.retryable, self.details, self.after = type, retryable, details, after


class Permanent(NodeError):
    """Trying again cannot help: the attempt is the last one whatever the retry policy says."""

    def __init__(self, message: str, *, type: str = "permanent", details: Any = None) -> None:
        super().__init__(message, type=type, retryable=False, details=details)


class Retry(NodeError):
    """Try again; `after` seconds from now if given, else by the node's retry policy.

    Needs attempts left in the retry policy: it moves the next attempt, it does not add one.
    """

    def __init__(
        self, message: str = "asked for another attempt", *, after: float | None = None, type: str = "retry", details: Any = None
    ) -> None:
        super().__init__(message, type=type, retryable=True, details=details, after=after)
