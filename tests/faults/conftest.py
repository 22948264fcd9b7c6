"""Servers of the tests of faults."""

from __future__ import annotations

from ..fleet.conftest import fresh_url, nats_url, server_factory

__all__ = ["fresh_url", "nats_url", "server_factory"]
