"""Opening: from an url to a wire to a server that can do what is needed, or to the reason why not.

A server that is just starting is waited for, up to `OPEN_S`, and a cluster without a leader up to `ELECTION_S`; one that refuses, or is the
wrong one, is told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...schemas.errors import UsageError
from ..credentials import Credentials
from .errors import (
    ELECTION_S,
    BrokerError,
    NoJetStream,
    NoResponders,
    NotAuthorized,
    NotTrusted,
    Refused,
    ServerTooOld,
    Unknown,
    Unreachable,
)
from .tls import untrusted
from .wire import Wire

if TYPE_CHECKING:
    from .connection import Connection

SERVER_MIN = (2, 12, 0)
"""The first with message schedules, which far timers are."""
OPEN_S, CONNECT_S = 5.0, 2
PING_S, PINGS_UNANSWERED_MAX = 1, 2
RECONNECT_WAIT_S = 0.1
_STARTING_S, _ASK_AGAIN_S = 1.0, 0.1
_SCHEMES = ("nats", "tls", "ws", "wss")


def checked_urls(url: str | Sequence[str]) -> list[str]:
    """The urls of a cluster's servers: a list, or one text with commas between them. Raises UsageError for what is no server's url."""
    urls = [each.strip() for each in url.split(",") if each.strip()] if isinstance(url, str) else list(url)
    if not urls:
        raise UsageError("no server's url: give one such as nats://127.0.0.1:4222")
    for each in urls:
        if not _is_url(each):
            raise UsageError(f"{without_password(each)!r} is no server's url: write it as nats://host:port")
    return urls


def without_password(url: str) -> str:
    """The url as it may be shown."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


async def connect(wire: Wire, urls: list[str], name: str, credentials: Credentials) -> None:
    """Raises Unreachable after `OPEN_S`, NotAuthorized, NotTrusted; UsageError for a file of credentials that is none."""
    shown = ", ".join(map(without_password, urls))
    options = _options(wire, name) | credentials.options()
    wire.must_encrypt = credentials.asks_for_tls or any(_is_encrypted(url) for url in urls)
    refused = asyncio.Event()
    wire.on_error = lambda error: refused.set() if _is_authorization(error) or untrusted(error) else None
    connecting = asyncio.ensure_future(wire.connect(urls, **options))
    waiting = asyncio.ensure_future(refused.wait())
    try:
        await asyncio.wait({connecting, waiting}, timeout=OPEN_S, return_when=asyncio.FIRST_COMPLETED)
        if refused.is_set():
            raise _refusal(shown, wire.last_failure)
        if not connecting.done():
            raise Unreachable(_unreachable(shown, wire.last_failure))
        _raise_failure(connecting, shown)
    finally:
        wire.on_error = lambda error: None
        for task in (connecting, waiting):
            task.cancel()
        await asyncio.gather(connecting, waiting, return_exceptions=True)


async def check(connection: Connection) -> None:
    """Raises ServerTooOld, NoJetStream, and Unreachable if the server stops answering."""
    version = tuple(int(number) for number in re.findall(r"\d+", connection.server_version)[:3])
    if version < SERVER_MIN:
        wanted = ".".join(map(str, SERVER_MIN))
        raise ServerTooOld(
            f"the server at {connection.url} is nats-server {connection.server_version}: {wanted} or newer is needed; upgrade it"
        )
    reason = await _without_jetstream(connection)
    if reason:
        raise NoJetStream(f"the server at {connection.url} stores nothing ({reason}): start it with `-js`, or enable it for the account")


async def _without_jetstream(connection: Connection) -> str:
    """Why there is no JetStream; "": there is. A server that is just starting answers before its JetStream does."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    patience_s = ELECTION_S if connection.is_clustered else OPEN_S
    while True:
        elapsed_s = loop.time() - start_s
        try:
            await connection.streams.account()
            return ""
        except NoResponders:
            if elapsed_s > _STARTING_S:
                return "JetStream is not enabled"
        except Refused as error:
            if error.leaderless and elapsed_s > patience_s:
                raise Unreachable(_no_leader(connection.url)) from None
            if not error.leaderless and (not error.passing or elapsed_s > _STARTING_S):
                return error.description
        except Unknown as error:
            if elapsed_s > patience_s:
                raise Unreachable(_no_leader(connection.url) if connection.is_clustered else _unreachable(connection.url, error)) from None
        await asyncio.sleep(_ASK_AGAIN_S)


def _options(wire: Wire, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "error_cb": wire.failed,
        "reconnected_cb": wire.regained,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "connect_timeout": CONNECT_S,
        "ping_interval": PING_S,
        "max_outstanding_pings": PINGS_UNANSWERED_MAX,
        "pending_size": -1,  # nothing is kept while disconnected
    }


def _raise_failure(connecting: asyncio.Future[None], shown: str) -> None:
    error = connecting.exception()
    if isinstance(error, ImportError):
        raise UsageError("a credentials file needs nkeys: pip install 'jetfleet[nkeys]'") from None
    if error is not None:
        raise Unreachable(_unreachable(shown, error)) from None


def _is_url(url: str) -> bool:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    return False


def _is_encrypted(url: str) -> bool:
    return url.partition("://")[0] in ("tls", "wss")


def _refusal(shown: str, error: BaseException | None) -> BrokerError:
    """Trying again would not help."""
    reason = untrusted(error)
    if reason:
        return NotTrusted(f"{shown}: {reason}")
    return NotAuthorized(
        f"{shown} refuses the credentials: put user and password, or a token, in the url, or give a .creds file or an nkey by --credentials"
    )


def _is_authorization(error: Exception) -> bool:
    text = str(error).lower()
    return "authorization" in text or "authentication" in text


def _no_leader(shown: str) -> str:
    return f"the cluster at {shown} has no leader: more than half of its servers must run, and reach one another"


def _unreachable(shown: str, error: BaseException | None) -> str:
    reason = f" ({str(error) or type(error).__name__})" if error is not None else ""
    hint = "start one with `jetfleet server`, or give its address (--nats, in Python `Client.connect(url)`)"
    return f"no server answers at {shown}{reason}: {hint}"
