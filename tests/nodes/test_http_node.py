"""std::http against a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from jetfleet.workers.providers import Services
from jetfleet.workers.virtual_clock import VirtualClock

from .bench import Bench

CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the server closes: until then /hang does not answer."""


async def echo(request: web.Request) -> web.Response:
    content = await request.read()
    seen = {
        "method": request.method,
        "query": [list(pair) for pair in request.query.items()],
        "header": request.headers.get("X-Order"),
        "type": request.content_type,
        "body": content.decode(),
    }
    return web.json_response(seen)


async def status(request: web.Request) -> web.Response:
    headers = {"Retry-After": after} if (after := request.query.get("after")) else {}
    return web.Response(status=int(request.match_info["status"]), text="no", headers=headers)


async def text(request: web.Request) -> web.Response:
    return web.Response(text="plain")


async def binary(request: web.Request) -> web.Response:
    return web.Response(body=b"\xff\x00", content_type="application/octet-stream")


async def broken_json(request: web.Request) -> web.Response:
    return web.Response(text="{", content_type="application/json")


async def hang(request: web.Request) -> web.Response:
    await request.app[CLOSING].wait()
    return web.Response()


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server in its own thread, since every execution has its own event loop."""
    ready: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app[CLOSING] = asyncio.Event()
        for path, handler in [("/text", text), ("/binary", binary), ("/broken", broken_json), ("/hang", hang), ("/hang-up", hang_up)]:
            app.router.add_get(path, handler)
        app.router.add_route("*", "/echo", echo)
        app.router.add_route("*", "/status/{status}", status)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        runner.app[CLOSING].set()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    started.wait()
    yield ready[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_response_has_status_headers_and_a_decoded_body(bench: Bench, server: str) -> None:
    found = bench.output("std::http", None, {"url": f"{server}/echo"})
    assert found["status"] == 200
    assert found["headers"]["content-type"].startswith("application/json")
    assert found["body"]["method"] == "GET"


def test_query_headers_and_body_are_sent(bench: Bench, server: str) -> None:
    config = {
        "method": "post",
        "url": f"{server}/echo",
        "headers": {"X-Order": "${order.id}"},
        "query": {"tag": ["a", "b"], "n": 1, "none": None, "flag": True},
        "body": {"order": "${order}"},
    }
    seen = bench.output("std::http", None, config, {"order": {"id": 7}})["body"]
    assert seen["method"] == "POST"
    assert seen["query"] == [["tag", "a"], ["tag", "b"], ["n", "1"], ["flag", "true"]]
    assert seen["header"] == "7"
    assert (seen["type"], seen["body"]) == ("application/json", '{"order": {"id": 7}}')


def test_a_text_body_is_sent_as_it_is(bench: Bench, server: str) -> None:
    assert bench.output("std::http", None, {"method": "PUT", "url": f"{server}/echo", "body": "a=1"})["body"]["body"] == "a=1"


@pytest.mark.parametrize(("path", "body"), [("text", "plain"), ("binary", b"\xff\x00"), ("status/204", None)])
def test_a_body_that_is_no_json_comes_as_text_or_bytes(bench: Bench, server: str, path: str, body: Any) -> None:
    assert bench.output("std::http", None, {"url": f"{server}/{path}"})["body"] == body


def test_the_alias_of_the_type_works(bench: Bench, server: str) -> None:
    assert bench.output("std::http.request", None, {"url": f"{server}/text"})["body"] == "plain"


@pytest.mark.parametrize(
    ("code", "retryable"), [(400, False), (404, False), (304, False), (408, True), (425, True), (429, True), (500, True), (503, True)]
)
def test_another_status_than_2xx_is_an_error(bench: Bench, server: str, code: int, retryable: bool) -> None:
    error = bench.error("std::http", None, {"url": f"{server}/status/{code}"})
    assert (error.type, error.retryable) == ("http_status", retryable)
    assert error.details["status"] == code
    assert f"status {code}" in error.message


def test_an_expected_status_is_none(bench: Bench, server: str) -> None:
    assert bench.output("std::http", None, {"url": f"{server}/status/404", "expect": 404})["status"] == 404
    assert bench.output("std::http", None, {"url": f"{server}/text", "expect": [404]})["status"] == 200


def test_retry_after_is_honoured_in_seconds(bench: Bench, server: str) -> None:
    assert bench.execute("std::http", None, {"url": f"{server}/status/429?after=7"}).retry_after_ms == 7_000


def test_retry_after_is_honoured_as_a_date(bench: Bench, server: str) -> None:
    clock = VirtualClock(start_ms=1_445_412_475_000)  # 2015-10-21 07:27:55 UTC
    bench.services = Services(clock=clock)
    config = {"url": f"{server}/status/503", "query": {"after": "Wed, 21 Oct 2015 07:28:00 GMT"}}
    assert bench.execute("std::http", None, config).retry_after_ms == 5_000


@pytest.mark.parametrize(("code", "after"), [(500, "7"), (503, "soon")])
def test_retry_after_is_not_believed_elsewhere(bench: Bench, server: str, code: int, after: str) -> None:
    assert bench.execute("std::http", None, {"url": f"{server}/status/{code}?after={after}"}).retry_after_ms is None


def test_a_refused_connection_is_retryable(bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can answer there
        error = bench.error("std::http", None, {"url": f"http://127.0.0.1:{taken.getsockname()[1]}/"})
    assert (error.type, error.retryable) == ("http_connection", True)


def test_a_connection_that_breaks_off_is_retryable(bench: Bench, server: str) -> None:
    error = bench.error("std::http", None, {"url": f"{server}/hang-up"})
    assert (error.type, error.retryable) == ("http_connection", True)


def test_a_request_has_its_own_timeout(bench: Bench, server: str) -> None:
    error = bench.error("std::http", None, {"url": f"{server}/hang", "timeout_ms": 50})
    assert (error.type, error.retryable) == ("http_timeout", True)


def test_what_claims_to_be_json_and_is_not_is_an_error(bench: Bench, server: str) -> None:
    assert bench.error("std::http", None, {"url": f"{server}/broken"}).type == "http_body"


def test_a_selector_that_yields_no_address_is_an_error(bench: Bench) -> None:
    error = bench.error("std::http", None, {"url": "${order.url}"}, {"order": {"url": "nonsense"}})
    assert (error.type, error.retryable) == ("http_url", False)
