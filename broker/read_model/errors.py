"""What the read model may say instead of an answer: each with what to do next."""

from __future__ import annotations

from ...schemas.errors import JetfleetError

NOWHERE = 0
"""The column of what is wrong outside of a filter's text: in a value that was given apart from it."""


class ReadModelError(JetfleetError):
    """The root of them all."""

    code = "READ_MODEL"


class ReaderAbsent(ReadModelError):
    """Nobody answers questions about runs."""

    code = "READER_ABSENT"

    def __init__(self) -> None:
        super().__init__("no reader answers; start one with `jetfleet reader` or `jetfleet up`")


class ReaderSilent(ReadModelError):
    """A reader is there, but did not answer in time, or not in a way that this version understands."""

    code = "READER_SILENT"


class ReaderBehind(ReadModelError):
    """The answer is to know of everything, and the reader has not caught up in time."""

    code = "READER_BEHIND"


class InvalidSearch(ReadModelError):
    """A filter that cannot be read. `column` counts from 1 and points into its text; NOWHERE: what is wrong does not stand in it."""

    code = "INVALID_SEARCH"

    def __init__(self, reason: str, column: int) -> None:
        super().__init__(reason if column == NOWHERE else f"{reason} (column {column} of the filter)")
        self.reason, self.column = reason, column


class InvalidQuestion(ReadModelError):
    """A question that makes no sense as asked: an unknown order, a cursor of another list."""

    code = "INVALID_QUESTION"


class ReadModelInUse(ReadModelError):
    """Another reader keeps this file."""

    code = "READ_MODEL_IN_USE"


class ReadModelUnwritable(ReadModelError):
    """The file cannot be opened or made where it was asked for."""

    code = "READ_MODEL_UNWRITABLE"


class JournalGap(ReadModelError):
    """Records of a run are missing, and nobody who could have them answers."""

    code = "JOURNAL_GAP"
