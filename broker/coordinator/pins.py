"""Pins of outputs: objects that the output of an ended run names stay as long as its history.

A run's own pins go when it is over, so these are published with the effects of its end: it is not over before they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload, refs_in
from ..objects.pins import pin_until
from .acknowledged import Ticket
from .open_run import OpenRun

if TYPE_CHECKING:
    from .outbox import Outbox


FOREVER_MS = 1 << 53
"""A flow may keep its history for any number of days; no computer runs as long as this."""


def pin_output(outbox: Outbox, run: OpenRun, output: Payload, ticket: Ticket) -> None:
    """Keep the objects of an ended run's output. Costs next to nothing where it names none."""
    try:
        digests = {ref.digest for ref in refs_in(output) if ref.digest}
    except UnreadablePayload:  # nobody can read what it names either
        return
    if not digests:
        return
    state = run.run
    until_ms = min(state.updated_at + state.plan.history.keep_ms, FOREVER_MS)
    for digest in sorted(digests):
        subject, body = pin_until(state.id, digest, until_ms)
        outbox.pin(subject, body, ticket)
