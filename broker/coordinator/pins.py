"""Pins of what leaves a run: objects that its output names, or an event that it emits, stay as long as its history; those of an event or
record that is put with the dead letters, for LETTER_KEPT_MS; all that a failed run has stored, for FAILED_KEPT_MS, if its flow stores all.

A run's own pins go when it is over, so these are published with the effects of its end: it is not over before they are stored. What
an event names is pinned before the event is published. Values that lie in an arena alone are not kept by this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...schemas.errors import UnreadablePayload
from ...schemas.messages import DeadLetter
from ...schemas.payload import Payload, decode, refs_in
from ...schemas.ref import Ref, may_hold_ref
from ..objects.pins import pin_of_failure, pin_of_letter, pin_until
from .acknowledged import Ticket

if TYPE_CHECKING:
    from ..engine import Run
    from .open_run import OpenRun
    from .outbox import Outbox

LETTER_KEPT_MS = 30 * 24 * 3_600_000
"""Time for somebody to look after a dead letter. Its run has not begun: for who frees objects nobody needs them any more after hours."""
FAILED_KEPT_MS = 3 * 24 * 3_600_000
"""Time for somebody to try a failed run again: what fails on a Friday evening is looked at on Monday."""
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


def pin_for_retry(outbox: Outbox, state: Run, status: str) -> None:
    """Keep what a failed run has stored; no longer, once it has ended otherwise after a retry.

    Nothing waits for it: in a full store it finds room only when the runs that fail there are over.
    """
    if state.plan.payloads.durability != "object-store":
        return
    if status == "failed":
        kept_ms = min(FAILED_KEPT_MS, state.plan.history.keep_ms)
        outbox.singles.publish(*pin_of_failure(state.id, state.updated_at + kept_ms), _nobody)
    elif state.life > 1:
        outbox.singles.publish(*pin_of_failure(state.id, 0), _nobody)


def pin_for_run(outbox: Outbox, run: str, payload: Payload) -> None:
    """Keep the objects of what others have given to a run, as long as it runs. What it is given has pins of its own for hours yet."""
    try:
        digests = {ref.digest for ref in refs_in(payload) if ref.digest}
    except UnreadablePayload:
        return
    for digest in sorted(digests):
        subject, body = pin_until(run, digest, 0)
        outbox.singles.publish(subject, body, _nobody)


def pin_for_letter(outbox: Outbox, letter: DeadLetter) -> None:
    """Keep the objects of a message that died, so that it can be sent again. They have pins of their own for hours yet."""
    try:
        refs = list(_refs(decode(letter.data))) if may_hold_ref(letter.data) else []
    except UnreadablePayload:  # that may be what it died of
        return
    for ref in refs:
        if not ref.digest:
            continue
        subject, body = pin_of_letter(ref.run, ref.digest, letter.at + LETTER_KEPT_MS, ref.nested)
        outbox.singles.publish(subject, body, _nobody)


def _refs(value: Any) -> Iterator[Ref]:
    """Those in a decoded message, and in payloads that stand in it as bytes: in a record, in a batch of events."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, bytes):
        yield from refs_in(value)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _refs(item)


def _nobody() -> None:
    """Nobody waits for it."""
