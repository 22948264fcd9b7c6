"""Limit views: a limit as the owner of its gate tells of it, and the questions by which it is asked."""

from __future__ import annotations

import msgspec

SHOWN_MAX = 1_000
"""Limits that one partition lists, those with the most waiting first; and entries of one limit that are shown."""


class LimitsQuestion(msgspec.Struct, array_like=True, frozen=True):
    """`id`: one limit, with who holds it and who is next; "" for a list of those whose id begins with `prefix`."""

    id: str = ""
    prefix: str = ""


class SlotView(msgspec.Struct, array_like=True, frozen=True):
    """`activation` () is the run itself. `since`: when it was granted, or asked, ms since the epoch. `not_before`: its turn at a rate."""

    run: str
    activation: tuple[int | str, ...]
    attempt: int
    since: int
    priority: int = 0
    fair: str = ""
    not_before: int = 0


class LimitView(msgspec.Struct, array_like=True, frozen=True):
    """`most` slots at a time, of which `held` are. Of a rate `most` begin per time, and `held` were told their time but took no note yet.

    `holders` and `line` (the next one first) are the first of them, and empty in lists.
    """

    id: str
    most: int
    is_rate: bool
    held: int
    waiting: int
    holders: list[SlotView] = []
    line: list[SlotView] = []
