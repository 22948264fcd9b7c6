"""The read model: every run, findable, in a SQLite file that can be deleted at any time.

reader       a process's read model, made of what follows
follower     streams → database               changes, writer    messages → rows, in one transaction
database     the file; store: its threads     definitions        versions and retention of deployed flows
search       filters → SQL; fields: of what   queries, answers   SQL → rows; questions on NATS → answers
retention    what is too old goes
questions    how others ask; journal: all records of a run; views: what they get
"""

from .errors import InvalidQuestion, InvalidSearch, JournalGap, ReaderAbsent, ReaderSilent, ReadModelError
from .journal import Journal, journal
from .views import DeadRow, FlowCount, Page, RunFound, RunRow

__all__ = [
    "DeadRow", "FlowCount", "InvalidQuestion", "InvalidSearch", "Journal", "JournalGap", "Page", "ReadModelError", "ReaderAbsent",
    "ReaderSilent", "RunFound", "RunRow", "journal",
]  # fmt: skip
