"""The servers of the fleet's tests."""

from ..fleet.conftest import fresh_url, server_factory

__all__ = ["fresh_url", "server_factory"]
