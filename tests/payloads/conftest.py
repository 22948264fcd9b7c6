"""The servers of the fleet's tests."""

from ..fleet.conftest import *  # noqa: F403
