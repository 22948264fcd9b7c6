"""What a server says about itself, over its monitoring port.

A client for one kind of request on loopback, instead of an HTTP library that takes longer to load than the server takes to start.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from .errors import ServerDiffers
from .settings import SYNC_ALWAYS, ServerSettings, sync_ns

_TIMEOUT_S = 5.0


async def ask(monitor_url: str, path: str) -> tuple[int, Any]:
    """GET `path`: the status and the JSON of the answer. Raises OSError or ValueError if there is no such answer."""
    async with asyncio.timeout(_TIMEOUT_S):
        parts = urlsplit(monitor_url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(body)


async def is_healthy(monitor_url: str, *, alone: bool) -> bool:
    """Whether the server takes work. One that is not alone is asked for itself only: the cluster needs the others to be well."""
    try:
        status, _ = await ask(monitor_url, "/healthz" if alone else "/healthz?js-enabled-only=true")
    except (OSError, ValueError, IndexError):
        return False
    return status == 200


async def check_limits(monitor_url: str, settings: ServerSettings, store_bytes: int) -> None:
    """Compare how the server runs with how it should. Raises ServerDiffers."""
    _, said = await ask(monitor_url, "/varz")
    store = said.get("jetstream", {}).get("config", {})
    always = settings.sync == SYNC_ALWAYS
    expected_and_found = {
        "JetStream": (True, bool(store)),
        "max_payload": (settings.payload_bytes, said.get("max_payload")),
        "max_file_store": (store_bytes, store.get("max_storage")),
        "max_memory_store": (settings.memory_bytes, store.get("max_memory")),
        "sync_interval: always": (always, store.get("sync_always", False)),
        "sync_interval": (None if always else sync_ns(settings.sync), None if always else store.get("sync_interval")),
    }
    wrong = [f"{name} is {found}, not {expected}" for name, (expected, found) in expected_and_found.items() if expected != found]
    if wrong:
        raise ServerDiffers(f"the server does not run as it was told: {'; '.join(wrong)}")
