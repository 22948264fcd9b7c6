"""A dead letter as it can be stored: one that is larger than a message may be keeps the beginning of what died, and says so."""

from __future__ import annotations

import msgspec

from ..schemas import messages
from ..schemas.messages import DeadLetter

HEAD_BYTES = 4_096
"""What a letter needs besides the message that died and its reason: the subject, an id, headers of ours, what is added to the reason."""
REASON_MAX = 2_000


def fitting(letter: DeadLetter, max_payload_bytes: int) -> DeadLetter:
    """The letter itself, or what of it fits into a message of the server."""
    if len(letter.reason) > REASON_MAX:  # it may quote what it refuses
        letter = msgspec.structs.replace(letter, reason=f"{letter.reason[:REASON_MAX]}…")
    too_many = len(messages.encode(letter)) + HEAD_BYTES - max_payload_bytes
    if too_many <= 0:
        return letter
    kept = max(0, len(letter.data) - too_many)
    reason = f"{letter.reason} (the first {kept:,} of its {len(letter.data):,} bytes are kept)"
    return msgspec.structs.replace(letter, data=letter.data[:kept], reason=reason)
