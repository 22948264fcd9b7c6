"""Pins of what leaves a run: objects that its output names, or an event that it emits, stay as long as its history.

A run's own pins go when it is over, so these are published with the effects of its end: it is not over before they are stored. What
an event names is pinned before the event is published. Values that lie in an arena alone are not kept by this.
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


def pin_for_others(outbox: Outbox, run: OpenRun, payload: Payload, ticket: Ticket) -> None:
    """Keep the objects of what a run gives to others, after its end as well. Costs next to nothing where it names none."""
    try:
        refs = [ref for ref in refs_in(payload) if ref.digest]
    except UnreadablePayload:  # nobody can read what it names either
        return
    if not refs:
        return
    state = run.run
    until_ms = min(state.updated_at + state.plan.history.keep_ms, FOREVER_MS)
    nested = {ref.digest for ref in refs if ref.nested}
    for digest in sorted({ref.digest for ref in refs}):
        subject, body = pin_until(state.id, digest, until_ms, digest in nested)
        outbox.pin(subject, body, ticket)


def pin_for_run(outbox: Outbox, run: str, payload: Payload) -> None:
    """Keep the objects of what others have given to a run, as long as it runs. What it is given has pins of its own for hours yet."""
    try:
        digests = {ref.digest for ref in refs_in(payload) if ref.digest}
    except UnreadablePayload:
        return
    for digest in sorted(digests):
        subject, body = pin_until(run, digest, 0)
        outbox.singles.publish(subject, body, _nobody)


def _nobody() -> None:
    """Nobody waits for it."""
