"""Servers for the tests of runs that wait: those of the fleet's tests."""

from ..fleet.conftest import fresh_url, nats_url, server_factory

__all__ = ["fresh_url", "nats_url", "server_factory"]
