"""The fixtures of the fleet's tests, here too."""

from ..fleet.conftest import fresh_url, nats_url, server_factory

__all__ = ["fresh_url", "nats_url", "server_factory"]
