"""Limits: how large what travels may be. Data with units and relations, for everybody who writes or refuses."""

from __future__ import annotations

MESSAGE_MAX_BYTES = 8 << 20
"""The server's `max_payload`, as our own server is configured."""
PAYLOAD_INLINE_MAX_BYTES = 512 << 10
"""Of one output: payloads travel inside tasks, records and snapshots as long as they cannot travel by reference."""
COMPLETION_MAX_BYTES = PAYLOAD_INLINE_MAX_BYTES + (64 << 10)
"""Of a whole completion: an output as large as it may be, with everything around it."""

DURATION_MS_MAX = 100 * 366 * 24 * 3_600 * 1_000
"""The longest that anything is asked to wait: a hundred years, so that sums of times keep within 64 bits."""
MOMENT_MS_MAX = 253_402_300_799_000
"""The end of the year 9999, as ms since the epoch: what comes later has no form as a date, and no schedule of the server."""
COUNT_MAX = 1_000_000_000
"""The most that a limit can let in."""

assert 8 * COMPLETION_MAX_BYTES < MESSAGE_MAX_BYTES, "a task must be able to carry the outputs of several nodes"
