"""What the tests of this folder leave behind in the process, taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from jetfleet.broker.observe import logs


@pytest.fixture(autouse=True)
def nobody_in_particular() -> Iterator[None]:
    """No role, and the log of libraries left to them."""
    yield
    logs.configure()
    structlog.reset_defaults()
