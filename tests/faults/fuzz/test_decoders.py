"""Every decoder under thousands of damaged inputs: it reads them, or says by its own error that it does not. Nothing else, and soon."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from .hunt import FOUND, seeded, slug, tried
from .target import Target
from .targets import TARGETS

CASES, RANDOM_CASES, SOAK_CASES = 180, 15, 50_000
EACH = pytest.mark.parametrize("target", TARGETS.values(), ids=map(slug, TARGETS))


@pytest.fixture(autouse=True)
def silent_log() -> None:
    """Decoders log what they leave out: thousands of lines that nobody reads. The suite's own fixture puts the log back."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@EACH
def test_a_damaged_input_is_read_or_refused(target: Target) -> None:
    assert not [str(defect) for defect in seeded(target, 0, CASES)]


@EACH
def test_random_bytes_are_read_or_refused(target: Target) -> None:
    @settings(max_examples=RANDOM_CASES, database=None, derandomize=True)
    @given(st.binary(max_size=200))
    def holds(data: bytes) -> None:
        defect = tried(target, data)
        assert defect is None, str(defect)

    holds()


@EACH
def test_what_a_target_begins_with_is_read(target: Target) -> None:
    """Else its cases would be damaged twice, and none would come past the first check."""
    assert any(target.accepts(seed) for seed in target.corpus)


@pytest.mark.parametrize("file", sorted(FOUND.iterdir()), ids=lambda file: file.name)
def test_what_was_found_once_is_refused_for_ever(file: Path) -> None:
    name = file.name.rpartition("-")[0]
    (target,) = [target for target in TARGETS.values() if slug(target.name) == name]
    defect = tried(target, file.read_bytes())
    assert defect is None, str(defect)


def test_a_decoder_that_lets_another_error_escape_is_found() -> None:
    """The hunt itself: it must see what it is for."""
    broken = Target("broken", lambda data: data.decode("ascii"), lambda: [b"text"], (KeyError,))
    found = list(seeded(broken, 0, 500))
    assert found and all(isinstance(defect.error, UnicodeDecodeError) for defect in found)


@pytest.mark.soak
@EACH
def test_many_more_damaged_inputs_are_read_or_refused(target: Target) -> None:
    first = time.time_ns() % 1_000_000_000 if "FUZZ_SEED" not in os.environ else int(os.environ["FUZZ_SEED"])
    assert not [str(defect) for defect in seeded(target, first, SOAK_CASES)], f"FUZZ_SEED={first}"
