"""Arguments of the suite's commands: a number, a span of time. What is none is refused by a sentence, before anything begins."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_UNITS_S = {"s": 1, "m": 60, "h": 3_600}


def whole(text: str) -> int:
    """A seed: a whole number from 0 on."""
    if not re.fullmatch(r"[0-9]+", text):
        raise ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def at_least_one(text: str) -> int:
    if (found := whole(text)) < 1:
        raise ArgumentTypeError("less than one makes no sense")
    return found


def seed(text: str) -> range:
    """One of them, as those from it to itself."""
    return range(whole(text), whole(text) + 1)


def seeds(text: str) -> range:
    """`A..B`: at least one, or whoever asks would hear that none of them failed."""
    first, dots, last = text.partition("..")
    if not dots:
        return seed(text)
    if whole(last) < whole(first):
        raise ArgumentTypeError(f"{text!r} holds no seed: write the smaller one first")
    return range(whole(first), whole(last) + 1)


def seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)([smh])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no time: write 90s, 20m or 2h")
    return int(found[1]) * _UNITS_S[found[2]]
