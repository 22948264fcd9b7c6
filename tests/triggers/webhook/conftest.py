"""Servers for the tests of webhooks, and a listener that takes any port."""

from __future__ import annotations

import pytest

from jetfleet.triggers.webhook.source import LISTEN

from ...fleet.conftest import fresh_url, nats_url, server_factory

__all__ = ["any_port", "fresh_url", "nats_url", "server_factory"]


@pytest.fixture(autouse=True)
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LISTEN, "127.0.0.1:0")
