"""A circuit breaker: a flow most of whose runs fail starts no more of them for a while.

    closed ──share of failed runs in the window > threshold──▶ open ──window over──▶ half open: one run at a time
       ▲                                                        ▲                        │
       └───────────────── it completed ─────────────────────────┼────────────────────────┤
                                                                └──── it failed ─────────┘

One run at a time: the next may start when it has ended, or when the window has passed once more without anybody hearing of its end (it
began in a partition of another coordinator, or its event had come before). Events wait meanwhile, none is lost. The share counts only from
MINIMUM_RUNS ends on: one failed run of two is no trend.
"""

from __future__ import annotations

from collections import deque

MINIMUM_RUNS = 20
SLICES = 10
"""The window moves on in steps of a tenth of its length."""


class Breaker:
    """`threshold`: share of failed runs (0 to 1; 1 never opens). Times are monotonic milliseconds."""

    def __init__(self, threshold: float, window_ms: int) -> None:
        self.threshold, self.window_ms = threshold, window_ms
        self.opened_at: int | None = None
        self.probing_since: int | None = None
        self._slices: deque[list[int]] = deque()  # [number of the slice, ended, failed]
        self._ended = self._failed = 0

    def state(self, now_ms: int) -> str:
        """`closed`, `open` or `half_open`."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if now_ms >= self.opened_at + self.window_ms else "open"

    def allows(self, now_ms: int) -> bool:
        """Whether a run may start now."""
        state = self.state(now_ms)
        waited = self.probing_since is None or now_ms >= self.probing_since + self.window_ms
        return state == "closed" or (state == "half_open" and waited)

    def started(self, now_ms: int) -> None:
        self.probing_since = None if self.opened_at is None else now_ms

    def ended(self, failed: bool, now_ms: int) -> None:
        """A run of the flow has ended."""
        if self.opened_at is not None:
            if self.state(now_ms) == "half_open":
                self.opened_at, self.probing_since = (now_ms if failed else None), None
                self._slices.clear()
                self._ended = self._failed = 0
            return
        self._count(failed, now_ms)
        if self._failed > self.threshold * self._ended and self._ended >= MINIMUM_RUNS:
            self.opened_at = now_ms

    def _count(self, failed: bool, now_ms: int) -> None:
        number = now_ms * SLICES // self.window_ms
        slices = self._slices
        if not slices or slices[-1][0] != number:
            while slices and slices[0][0] <= number - SLICES:
                _, ended, failures = slices.popleft()
                self._ended -= ended
                self._failed -= failures
            slices.append([number, 0, 0])
        slices[-1][1] += 1
        slices[-1][2] += failed
        self._ended += 1
        self._failed += failed
