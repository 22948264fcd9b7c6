"""The rate of a trigger: a bucket of tokens, one per request, that fills at a steady pace."""

from __future__ import annotations

import math
import time

from .replies import Refusal


class Rate:
    """`per_s`: requests per second in the long run; `burst`: at once, after a quiet time."""

    def __init__(self, per_s: int, burst: int | None = None) -> None:
        self._per_s, self._burst = per_s, burst or per_s
        self._tokens = float(self._burst)
        self._at = time.monotonic()

    def take(self) -> None:
        """Raises Refusal with the time after which it is worth trying again."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            wait_s = math.ceil((1 - self._tokens) / self._per_s)
            raise Refusal(429, "RATE_LIMIT", f"more than {self._per_s:,} requests per second", headers=[("retry-after", str(wait_s))])
        self._tokens -= 1
