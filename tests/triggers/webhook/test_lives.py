"""The life of a webhook: what callers are told when it is paused, cannot store, shares its port, or comes to its end."""

from __future__ import annotations

import asyncio
import gc
import hmac
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jetfleet.schemas import subjects
from jetfleet.triggers import SourceFailed, Triggers
from jetfleet.triggers.webhook.source import LISTEN, WebhookSource

from ...fleet.fleets import NODES
from ...fleet.running import run
from ...fleet.trouble import until
from .calling import Answer, line, post, request
from .hooks import Hooks, flow, hooks


def refused(answer: Answer) -> tuple[int, bool]:
    return answer.status, "retry-after" in answer.headers


async def broken(one: Hooks, flow: str) -> str:
    """What the source of a flow's webhook says is wrong."""
    await until(lambda: any(each.error for each in one.triggers.status() if each.flow == flow), "a source that fails")
    return next(each.error for each in one.triggers.status() if each.flow == flow)


def test_a_paused_webhook_asks_to_come_back_later(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={}), flow("other", t={"path": "/other"})) as one:
            await one.client.pause_trigger("f", "t")
            await until(lambda: [each.state for each in one.triggers.status()] == ["paused", "listening"], "a trigger that is paused")
            assert refused(await post(one.address, "/", {})) == (503, True)
            assert (await post(one.address, "/other", {})).status == 202
            await one.client.resume_trigger("f", "t")
            await until(lambda: one.triggers.status()[0].state == "listening", "a trigger that goes on")
            assert (await post(one.address, "/", {})).status == 202

    run(test())


def test_what_cannot_be_stored_is_said_to_come_again(server_factory: Callable[..., Any], tmp_path: Path) -> None:
    server = server_factory()

    async def test() -> None:
        async with hooks(server.url, tmp_path, flow("f", t={})) as one:
            streams = one.client.connection.streams
            info = await streams.stream_info(subjects.EVENTS)
            assert info is not None
            await streams.create_or_update_stream(info["config"] | {"max_bytes": 4_000})
            answers = [await post(one.address, "/", {"note": "x" * 1_000}) for _ in range(8)]
            assert refused(answers[0]) == (202, False) and refused(answers[-1]) == (503, True)
            assert answers[-1].code == "NOT_STORED" and "EVENTS" not in answers[-1].body.decode()
            await streams.create_or_update_stream(info["config"])
            server.kill()
            await until(lambda: not one.client.connection.is_connected, "a connection that is cut")
            assert refused(await post(one.address, "/", {})) == (503, True)
            await asyncio.to_thread(server.restart)
            await until(lambda: one.client.connection.is_connected, "a connection that is back")
            assert (await post(one.address, "/", {})).status == 202

    run(test())


def test_what_a_flow_does_not_take_is_told_with_the_reason(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        inputs = {"type": "object", "required": ["amount"]}
        async with hooks(fresh_url, tmp_path, flow("f", t={}, inputs=inputs)) as one:
            answer = await post(one.address, "/", {"id": 7}, [("Idempotency-Key", "k")])
            assert (answer.status, answer.code) == (422, "EVENT_REJECTED") and "amount" in answer.body.decode()
            assert (await post(one.address, "/", {"amount": 7}, [("Idempotency-Key", "k")])).status == 202

    run(test())


def test_a_paused_webhook_says_so_only_to_who_may_call(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", "k-123")

    async def test() -> None:
        proofs = {"bearer": ("Authorization", "Bearer k-123"), "github": ("X-Hub-Signature-256", github(b"{}", b"k-123"))}
        flows = [flow(type, t={"path": f"/{type}", "auth": {"type": type, "secret": "shop"}}) for type in proofs]
        async with hooks(fresh_url, tmp_path, *flows) as one:
            for type in proofs:
                await one.client.pause_trigger(type, "t")
            await until(lambda: {each.state for each in one.triggers.status()} == {"paused"}, "triggers that are paused")
            for type, proof in proofs.items():
                assert (await post(one.address, f"/{type}", {})).status == 401
                assert refused(await post(one.address, f"/{type}", {}, [proof])) == (503, True)

    run(test())


def github(body: bytes, key: bytes) -> str:
    return "sha256=" + hmac.new(key, body, "sha256").hexdigest()


def test_an_open_webhook_is_spoken_of_and_a_guarded_one_is_not(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LISTEN, "0.0.0.0:0")

    async def test() -> None:
        with capture_logs() as lines:
            async with hooks(fresh_url, tmp_path, flow("f", t={}), flow("g", t={"path": "/g", "allow_ips": "127.0.0.1"})):
                pass
        assert [line["trigger"] for line in lines if "of everybody" in line["event"]] == ["f.t"]

    run(test())


def test_whose_a_path_is_depends_on_names_and_on_nothing_that_happens(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        first, second = flow("first", t={"path": "/orders"}), flow("second", t={"path": "/orders", "rate_limit": 9})
        async with hooks(fresh_url, tmp_path, second, flow("other", t={"path": "/other"})) as one:
            await one.deploy(first)
            assert (await broken(one, "second")).startswith("PATH_TAKEN"), "it had the path before the other one was deployed"
            for decide in (one.client.disable_trigger, one.client.enable_trigger, one.client.pause_trigger, one.client.resume_trigger):
                await decide("first", "t")
                source = await one.triggers.source("other", "t")
                assert source is not None
                with pytest.raises(SourceFailed):
                    await one.triggers.source("second", "t")
                assert not await one.events("second")
            await until(lambda: any(each.flow == "first" and each.detail for each in one.triggers.status()), "the first one again")
            assert (await post(one.address, "/orders", {})).value["run"].startswith("first-")
            await one.client.deploy(flow("first", t={"path": "/orders", "auth": {"type": "bearer", "secret": "not_set"}}), nodes=[NODES])
            await until(lambda: any(each.flow == "first" and each.error for each in one.triggers.status()), "a first one that fails")
            assert refused(await post(one.address, "/orders", {})) == (503, True), "it keeps its path"
            async with Triggers(one.client, types=("webhook",), only=("second",), data=tmp_path) as elsewhere:
                source = await elsewhere.source("second", "t")
                assert isinstance(source, WebhookSource)
                answer = await post(await source.listening(), "/orders", {})
                assert answer.value["run"].startswith("second-"), "a process that does not serve the first one"

    run(test())


def test_a_path_belongs_to_the_first_by_name(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("first", t={"path": "/orders/{id}", "methods": ["POST", "PUT"]})) as one:
            await one.client.deploy(flow("second", t={"path": "/orders/{order}"}), nodes=[NODES])
            error = await broken(one, "second")
            assert error.startswith("PATH_TAKEN") and "first.t" in error
            await one.deploy(flow("third", t={"path": "/orders/{id}", "method": "GET"}))
            assert set((await post(one.address, "/orders/7", {})).value) == {"run"}
            assert {event.key.partition("/")[0] for event in await one.events("first")} == {"t"}

    run(test())


def test_a_port_that_is_taken_is_named(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one:
            host, port = one.address
            monkeypatch.setenv(LISTEN, f"{host}:{port}")
            async with Triggers(one.client, types=("webhook",), data=tmp_path) as other:
                await until(lambda: any(each.error for each in other.status()), "a source that fails")
                (serving,) = other.status()
                assert serving.error.startswith("PORT_TAKEN") and f"{host}:{port}" in serving.error
            monkeypatch.setenv(LISTEN, "nonsense")
            async with Triggers(one.client, types=("webhook",), data=tmp_path) as another:
                await until(lambda: any(each.error for each in another.status()), "a source that fails")
                assert LISTEN in another.status()[0].error

    run(test())


def test_a_webhook_says_where_it_listens_and_whom_it_turned_away(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"path": "/orders", "methods": ["POST", "PUT"]})) as one:
            host, port = one.address
            where = f"POST|PUT http://{host}:{port}/orders"
            assert one.triggers.status()[0].detail == where
            for body in (b"{", b"[", b"x" * 2_000_000):
                await post(one.address, "/orders", body=body)
            assert one.triggers.status()[0].detail == f"{where} (turned away: 400: 2, 413: 1)"

    run(test())


def test_a_new_version_is_listened_to_in_the_place_of_the_old_one(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"path": "/old"}), flow("other", t={"path": "/other"})) as one:
            await one.deploy(flow("f", t={"path": "/new"}))
            assert [(await post(one.address, path, {})).status for path in ("/old", "/new", "/other")] == [404, 202, 202]
            await one.client.undeploy("f")
            await until(lambda: len(one.triggers.status()) == 1, "a source that is closed")
            assert [(await post(one.address, path, {})).status for path in ("/new", "/other")] == [404, 202]

    run(test())


def test_at_its_end_everybody_gets_an_answer(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        slow = flow("slow", "f.gated", t={"path": "/slow", "wait": True})
        async with hooks(fresh_url, tmp_path, flow("f", t={}), slow, runs=True) as one, line(one.address) as idle:
            waiting = asyncio.create_task(post(one.address, "/slow", {"gate": str(tmp_path / "gate")}))
            await until(lambda: any(each.fired for each in one.triggers.status()), "a request that waits for its run")
            sent = [asyncio.create_task(post(one.address, "/", {"n": n})) for n in range(50)]
            await until(lambda: sum(each.fired for each in one.triggers.status()) > 5, "requests on their way")
            await one.triggers.stop()
            late = await waiting
            assert late.status == 504 and late.value["run"].startswith("slow-")
            answers = await asyncio.gather(*sent, return_exceptions=True)
            stored = [answer for answer in answers if isinstance(answer, Answer) and answer.status == 202]
            assert stored and all(isinstance(answer, OSError) or answer.status in (202, 503) for answer in answers)
            for answer in stored:
                assert (await (await one.client.handle(answer.value["run"])).result()).completed
            assert await idle.closed() == b""
            with pytest.raises(OSError):
                await post(one.address, "/", {})
            (tmp_path / "gate").touch()

    run(test())


@pytest.mark.soak
def test_ten_thousand_open_connections_hold_up_nobody(fresh_url: str, tmp_path: Path) -> None:
    """Half of the files that this takes are the callers', so it needs a limit of some 20,000."""

    async def test() -> None:
        count = 9_800
        async with hooks(fresh_url, tmp_path, flow("f", t={"read_timeout_ms": 60_000})) as one, AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(line(one.address)) for _ in range(count)]
            for each in lines[::7]:
                each.send(request("POST", "/", b"{}"))
            for each in lines[::7]:
                assert (await each.answer()).status == 202
            assert (await post(one.address, "/", {})).status == 202

    run(test(), 120)


def test_a_process_that_ends_leaves_no_complaint_about_who_waited_for_a_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate, complaints = tmp_path / "gate", list[str]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        async with hooks(fresh_url, tmp_path, flow("f", "f.gated", t={"wait": True}), runs=True) as one:
            asked = asyncio.create_task(post(one.address, "/", {"gate": str(gate)}))
            await until(lambda: any(each.fired for each in one.triggers.status()), "a caller that waits")
            await one.fleet.log.until(lambda: bool(one.fleet.log.begun), "its run")
            await one.triggers.stop()
            assert (await asked).code == "NOT_ENDED"
            del asked
            gc.collect()
            assert complaints == []
            gate.touch()

    run(test())
