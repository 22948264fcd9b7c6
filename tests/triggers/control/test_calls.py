"""Manual triggers over HTTP: what is accepted is on disk, what is wrong is said, and who may not call learns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jetfleet.schemas import subjects
from jetfleet.schemas.errors import UsageError
from jetfleet.triggers.calls import BODY_BYTES_MAX, Calls, CallSettings, CannotListen

from ...fleet.fleets import NODES, Fleet, fleet
from ...fleet.running import run

FLOW = """
name: orders
triggers:
  - {id: desk, type: manual, params: {parameters: [{name: id, type: integer, required: true}]}}
  - {id: shop, type: memory}
nodes: {seen: {type: f.echo}}
edges: [{from: desk, to: seen}, {from: shop, to: seen}]
"""
Answer = tuple[int, dict[str, Any]]


class Caller:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session, self._port = session, port

    async def post(self, path: str = "orders/desk", body: Any = None, **options: Any) -> Answer:
        options.setdefault("json", {"id": 7} if body is None else body) if "data" not in options else None
        async with self._session.post(f"http://127.0.0.1:{self._port}/-/fire/{path}", **options) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[Answer, Mapping[str, str]]:
        async with self._session.get(f"http://127.0.0.1:{self._port}{path}") as answer:
            return (answer.status, await answer.json()), answer.headers


@asynccontextmanager
async def called(one: Fleet, token: str = "", *flows: str) -> AsyncIterator[Caller]:
    await one.client.deploy(FLOW, nodes=[NODES])
    calls = Calls(one.client, CallSettings(host="127.0.0.1", port=0, token=token), flows)
    async with calls, aiohttp.ClientSession() as session:
        yield Caller(session, calls.port)


def test_a_call_is_a_run_and_the_same_key_the_same_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one, called(one) as caller:
            answers = [await caller.post(headers={"Idempotency-Key": "k"}) for _ in range(2)]
            assert answers == [(202, {"run": subjects.run_id("orders", "desk/k")})] * 2
            result = await (await one.client.handle(answers[0][1]["run"])).result(20)
            assert result.output == {"id": 7}
            await one.client.pause_trigger("orders", "desk")
            assert "paused" in (await caller.post())[1]["waits"]
            await one.client.disable_trigger("orders", "desk")
            assert (await caller.post())[0] == 409

    run(test(), 40)


def test_what_is_wrong_is_said_with_the_status_that_fits(fresh_url: str, tmp_path: Path) -> None:
    plain = {"Content-Type": "text/plain"}
    json = {"Content-Type": "application/json"}

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one, called(one) as caller:
            assert await caller.post(body={"id": "x", "ids": 1}) == (422, {"error": {"code": "EVENT_REJECTED", "message": (
                "the parameters do not fit trigger 'desk' of flow 'orders': 'id' is a text, and a parameter of type integer; "
                "there is no parameter 'ids' (did you mean 'id'?)")}})  # fmt: skip
            assert "is missing" in (await caller.post(data=b"", headers=json))[1]["error"]["message"]
            assert (await caller.post(data=b"{", headers=json))[0] == 400
            assert (await caller.post(data=b"\xff", headers=json))[0] == 400
            assert (await caller.post(data=b"[" * 100_000, headers=json))[0] == 400
            assert (await caller.post(data=b'{"id": 7}', headers=plain))[0] == 415, "as a page in a browser would send it"
            assert (await caller.post(data=b" " * (BODY_BYTES_MAX + 1), headers=json))[0] == 413
            assert (await caller.post(headers={"Idempotency-Key": "k" * 1_000}))[0] == 400
            assert (await caller.post("orders/shop"))[1] == (await caller.post("orders/shop"))[1]
            for path in ("orders/shop", "orders/nothing", "nothing/desk"):
                assert (await caller.post(path))[0] == 404, "only what is manual can be called"
            for path, status, code in (("/", 404, "NOT_FOUND"), ("/-/fire/orders/desk", 405, "METHOD_NOT_ALLOWED")):
                answer, headers = await caller.get(path)
                assert (answer[0], answer[1]["error"]["code"], headers["Server"]) == (status, code, "jetfleet")

    run(test(), 40)


def test_a_token_is_asked_for_where_there_is_one_and_flows_that_are_not_served_are_not_there(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            async with called(one, "secret") as caller:
                for header in ("", "secret", "Bearer", "Bearer secre", "Basic secret", "Bearer sécret"):
                    assert (await caller.post(headers={"Authorization": header}))[0] == 401
                assert (await caller.post(headers={"Authorization": "Bearer secret"}))[0] == 202
            async with called(one, "", "others") as caller:
                assert (await caller.post())[0] == 404

    run(test(), 40)


def test_other_machines_need_a_token_and_a_taken_port_is_said() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):
        with pytest.raises(UsageError, match="--http-token"):
            CallSettings(host=host, port=0)
        CallSettings(host=host, port=0, token="t")

    async def test() -> None:
        async with Calls(None, CallSettings(host="127.0.0.1", port=0)) as first:  # type: ignore[arg-type]  # nobody calls
            with pytest.raises(CannotListen, match="--http"):
                async with Calls(None, CallSettings(host="127.0.0.1", port=first.port)):  # type: ignore[arg-type]
                    pass

    run(test())
