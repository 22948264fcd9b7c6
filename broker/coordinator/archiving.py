"""Archiving: which runs have ended and are not on disk as ended yet.

A run that ends leaves memory at once, while the last part of its journal, and the pins of what its output names, are still on their way.
Until they are acknowledged the run is not over for those who free payloads: its journal may have to be made again from the WAL.

A run's way is known by the ticket of the record that ended it: everything that came of that record, and of all before it, is then done, the
start of every sub-flow too.
"""

from __future__ import annotations

from ..payloads.run_states import family
from .acknowledged import Ticket


class Archiving:
    """Those of one partition, and their families. It holds what is under way, and no more."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}

    def add(self, run: str, ticket: Ticket) -> None:
        """The run has ended with this record, the latest of the partition."""
        self._drop_archived()
        for name in {run, family(run)}:
            self._tickets.pop(name, None)  # it goes to the end: tickets stand here in their order
            self._tickets[name] = ticket

    def __contains__(self, run: str) -> bool:
        """Whether the run, or one of its family, is being archived."""
        ticket = self._tickets.get(run)
        return ticket is not None and not ticket.through

    def _drop_archived(self) -> None:
        """Tickets get through in the order of the WAL, so only the oldest have to be looked at."""
        archived = []
        for name, ticket in self._tickets.items():
            if not ticket.through:
                break
            archived.append(name)
        for name in archived:
            del self._tickets[name]
