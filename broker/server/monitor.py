"""What a server says about itself, over its monitoring port.

A client for one kind of request on loopback, instead of an HTTP library that takes longer to load than the server takes to start.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .errors import ServerDiffers, ServerFailed
from .settings import SYNC_ALWAYS, ServerSettings, sync_ns

_TIMEOUT_S = 5.0


async def ask(monitor_url: str, path: str) -> Any:
    """The JSON at `path`, whatever its status. Raises ServerFailed if there is no such answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return json.loads(await _get(urlsplit(monitor_url), path))
    except (OSError, ValueError) as error:
        raise ServerFailed(f"the server does not answer at {monitor_url}{path}: {error or 'nothing came'}") from error


async def what_ails(monitor_url: str, *, alone: bool) -> str:
    """Why the server does not take work; "" if it does. Not alone, it is asked for itself only: a cluster needs the others too."""
    try:
        said = await ask(monitor_url, "/healthz" if alone else "/healthz?js-enabled-only=true")
    except ServerFailed as error:
        return str(error)
    return "" if said.get("status") == "ok" else str(said.get("error", said))


async def check_limits(monitor_url: str, settings: ServerSettings, store_bytes: int) -> None:
    """Compare how the server runs with how it should. Raises ServerDiffers, ServerFailed."""
    said = await ask(monitor_url, "/varz")
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
    if settings.users and not said.get("auth_required"):
        raise ServerDiffers(f"the file of users {settings.users} names no user; `jetfleet server permissions` prints some")


async def _get(address: SplitResult, path: str) -> bytes:
    """The body of the answer."""
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    return answer.partition(b"\r\n\r\n")[2]
