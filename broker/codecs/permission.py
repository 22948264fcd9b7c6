"""Whether this process may pickle and unpickle.

Reading a pickle executes what its writer wanted: only for deployments that trust everybody who can write to their server and arena.
"""

from __future__ import annotations

import os

VARIABLE = "JETFLEET_PICKLE"


def pickle_allowed() -> bool:
    """Read anew each time: a test or a program may set it after the import."""
    return os.environ.get(VARIABLE) == "allow"
