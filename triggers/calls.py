"""Calls: manual triggers over HTTP, for forms and scripts.

    POST /-/fire/{flow}/{trigger}     JSON with the parameters ─▶ 202 {"run": id}

Guarantees: the answer 202 means that the event is on disk; the same `Idempotency-Key` is the same run. What is wrong with the parameters is
said in full (422). Whoever is not on this machine needs the token.
Does not: wait for the run, or fire triggers of other types, which have ways in of their own.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeAlias

import structlog
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError

from ..broker.api import Client, UnknownFlow, UnknownTrigger
from ..broker.cli.event_input import parse_json
from ..broker.client import BrokerError
from ..schemas.errors import EventRejected, JetfleetError, UsageError
from ..schemas.messages import PAUSED

BODY_BYTES_MAX = 1 << 20
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY_CHARACTERS_MAX = 512
READ_S = 10.0
SHUTDOWN_S = 2.0
RETRY_AFTER_S = "5"
log = structlog.get_logger("jetfleet.triggers")


class CannotListen(JetfleetError):
    """The address for calls is taken, or is none of this machine."""

    code = "CALLS_ADDRESS"


class Refused(Exception):
    """A call that is answered with an error."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """`token`: what callers must bring; "" only where nobody but this machine can call. `port` 0: a free one. Raises UsageError."""

    host: str
    port: int
    token: str = ""

    def __post_init__(self) -> None:
        if not self.token and not _is_loopback(self.host):
            raise UsageError(f"on {self.host} other machines can fire triggers: give a token (--http-token), or listen on 127.0.0.1")


class Calls:
    """An HTTP server for calls. `flows`: those whose triggers may be called; none: all. `port` is known once it is started."""

    def __init__(self, client: Client, settings: CallSettings, flows: Collection[str] = ()) -> None:
        self.port = settings.port
        self._client, self._settings, self._flows = client, settings, flows
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Raises CannotListen."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_in_json])
        app.on_response_prepare.append(_without_banner)
        app.add_routes([web.post("/-/fire/{flow}/{trigger}", self._answer)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        host = self._settings.host
        try:
            await web.TCPSite(runner, host, self.port).start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            raise CannotListen(f"cannot take calls on {host}:{self.port}: {error}; choose another --http address") from None
        self._runner, self.port = runner, runner.addresses[0][1]
        log.info("manual triggers can be called", url=f"http://{host}:{self.port}/-/fire/FLOW/TRIGGER")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(await self._fire(request), status=HTTPStatus.ACCEPTED)
        except Refused as error:
            headers = {"Retry-After": RETRY_AFTER_S} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
            headers |= {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
            return _refusal(error.status, error.code, str(error), headers)

    async def _fire(self, request: web.Request) -> dict[str, Any]:
        self._require_token(request)
        flow, trigger = request.match_info["flow"], request.match_info["trigger"]
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise Refused(HTTPStatus.BAD_REQUEST, "BAD_KEY", f"an Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters")
        value = await _value(request)
        try:
            self._require_manual(flow, trigger)
            handle = await self._client.fire(flow, trigger, value, key=key, trace=request.headers.get("traceparent", ""))
        except (UnknownFlow, UnknownTrigger) as error:
            raise Refused(HTTPStatus.NOT_FOUND, error.code, f"there is no trigger {trigger!r} of a flow {flow!r} to be called") from None
        except EventRejected as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error)) from None
        except BrokerError as error:
            log.warning("a call cannot be stored", flow=flow, trigger=trigger, reason=str(error))
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, error.code, "the event cannot be stored now; call again, with the same key"
            ) from None
        except UsageError as error:
            raise Refused(HTTPStatus.CONFLICT, error.code, str(error)) from None
        except JetfleetError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error)) from None
        paused = self._client.flows.trigger_state(flow, trigger).state == PAUSED
        return {"run": handle.id} | ({"waits": "the trigger is paused"} if paused else {})

    def _require_token(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        right = scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._settings.token.encode())
        if self._settings.token and not right:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "a call needs the header `Authorization: Bearer TOKEN`")

    def _require_manual(self, flow: str, trigger: str) -> None:
        """Of what may not be called here it is not said that it exists."""
        found = self._client.require(flow).trigger(trigger)
        if found is None or found.type != "manual" or (self._flows and flow not in self._flows):
            raise UnknownTrigger(flow, trigger, ())


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the server says itself, of paths and methods that there are not, in the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", f"possible here: {allowed}", {"Allow": allowed})
    except web.HTTPNotFound:
        return _refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", "there is nothing here but POST /-/fire/FLOW/TRIGGER")


async def _without_banner(request: web.Request, response: web.StreamResponse) -> None:
    """Nobody needs to know which server this is, and of which version."""
    response.headers["Server"] = "jetfleet"


def _refusal(status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)


async def _value(request: web.Request) -> Any:
    """The body as JSON. It has to say that it is JSON: a page in a browser cannot send such a body to this machine unasked."""
    if request.content_type != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "CONTENT_TYPE", "send JSON, with the header `Content-Type: application/json`")
    too_large = Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_LARGE", f"a call has at most {BODY_BYTES_MAX:,} bytes")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    try:
        async with asyncio.timeout(READ_S):
            body = await request.read()
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "TOO_SLOW", f"the body did not come within {READ_S:g} s") from None
    except (web.RequestPayloadError, web.HTTPBadRequest, ContentEncodingError):  # what it calls itself encoded as, it is not
        raise Refused(HTTPStatus.BAD_REQUEST, "UNREADABLE", "the body is not in its Content-Encoding") from None
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    try:
        return parse_json(body, "the body") if body else None
    except UsageError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "UNREADABLE", str(error)) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
