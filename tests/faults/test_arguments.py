"""What makes no sense to a command of the suite is refused: a campaign over no seeds would otherwise be one in which none failed."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from . import arguments


def test_seeds_are_one_or_from_one_to_another() -> None:
    assert list(arguments.seeds("7")) == list(arguments.seed("7")) == [7]
    assert list(arguments.seeds("3..5")) == [3, 4, 5]


def test_times_have_a_unit() -> None:
    assert [arguments.seconds(text) for text in ("90s", "20m", "2h")] == [90, 1_200, 7_200]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (arguments.seed, "abc"),
        (arguments.seed, "-1"),
        (arguments.seeds, "10..1"),
        (arguments.seeds, "1-3"),
        (arguments.seeds, "1.."),
        (arguments.seeds, ""),
        (arguments.at_least_one, "0"),
        (arguments.at_least_one, "-3"),
        (arguments.seconds, "60"),
        (arguments.seconds, "abc"),
    ],
)
def test_what_is_none_is_refused_by_a_sentence(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=" "):
        read(text)
