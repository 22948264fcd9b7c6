"""Bombs go off in nobody's hands: each input is refused, or read, within bounds of memory and time."""

from __future__ import annotations

import logging

import pytest
import structlog

from .bombs import BOMBS, Bomb
from .bounded import OUT_OF_MEMORY, READ, REFUSED, outcome
from .hunt import slug
from .targets import TARGETS


@pytest.fixture(autouse=True)
def silent_log() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: slug(bomb.name))
def test_a_bomb_is_refused_within_bounds(bomb: Bomb) -> None:
    target, data = TARGETS[bomb.target], bomb.data()
    allowed = {REFUSED} if bomb.refused else {REFUSED, READ}
    assert outcome(lambda: target.accepts(data)) in allowed


def test_what_has_no_bounds_is_seen() -> None:
    """The bounds themselves."""
    assert outcome(lambda: bool(bytearray(4 << 30))) == OUT_OF_MEMORY
    assert outcome(lambda: bool(9**9**9), cpu_max_s=1) == "SIGXCPU"
    assert outcome(lambda: bool([][1])) == "another error"
