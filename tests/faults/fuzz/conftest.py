"""Servers for these tests: those of the fleet's tests."""

from ...fleet.conftest import fresh_url, nats_url, server_factory

__all__ = ["fresh_url", "nats_url", "server_factory"]
