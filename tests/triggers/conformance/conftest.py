"""Servers for the conformance suite, and a webhook listener that takes any port."""

from ..conftest import fresh_url, nats_url, server_factory
from ..webhook.conftest import any_port

__all__ = ["any_port", "fresh_url", "nats_url", "server_factory"]
