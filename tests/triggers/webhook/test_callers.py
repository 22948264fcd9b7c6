"""Who may call: keys, passwords, addresses, and how often. Whoever may not starts nothing. Of signatures: `test_signatures.py`."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from jetfleet.broker.triggers import pauses

from ...fleet.fleets import NODES
from ...fleet.running import run
from ...fleet.trouble import until
from .calling import call, post
from .hooks import flow, hooks
from .signing import KEY, SENDERS, Headers, now

BODY = b'{"id": "evt_1", "event_id": "Ev1", "amount": 7}'
JSON = ("Content-Type", "application/json")


def basic(text: str) -> Headers:
    return [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]


PROOFS: list[tuple[dict[str, str], Headers, list[Headers]]] = [
    (
        {"type": "bearer"},
        [("Authorization", "bearer me:k-123")],
        [[("Authorization", "Bearer me:k-12")], [("Authorization", "Basic me:k-123")]],
    ),
    ({"type": "basic"}, basic("me:k-123"), [basic("me:k-12"), basic("me"), [("Authorization", "Basic %%%")]]),
    ({"type": "apiKey"}, [("X-API-Key", "me:k-123")], [[("X-API-Key", "")], [("X-API-Key", "me:k-123")] * 2]),
    ({"type": "api_key", "header": "X-Shop"}, [("x-shop", "me:k-123")], [[("X-API-Key", "me:k-123")], [("X-Shop", "\u00e9")]]),
]


def test_keys_and_passwords_are_asked_for(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", "me:k-123")

    async def test() -> None:
        flows = [flow(f"f{n}", t={"path": f"/{n}", "auth": {**auth, "secret": "shop"}}) for n, (auth, _, _) in enumerate(PROOFS)]
        async with hooks(fresh_url, tmp_path, *flows) as one:
            for n, (auth, good, bad) in enumerate(PROOFS):
                for headers in [[], *bad, [*good, *good]]:
                    answer = await post(one.address, f"/{n}", {}, headers)
                    assert answer.status == 401, (auth, headers)
                    assert ("www-authenticate" in answer.headers) == (auth["type"] in ("bearer", "basic"))
                assert (await post(one.address, f"/{n}", {}, good)).status == 202, auth
                (meta,) = await one.metas(f"f{n}")
                assert not any("k-123" in value or value == good[0][1] for value in meta["headers"].values())

    run(test())


def test_a_key_in_the_query_is_nobodys_business(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", "k-123")

    async def test() -> None:
        params = {"methods": ["GET"], "auth": {"type": "api_key", "query": "pass", "secret": "shop"}}
        async with hooks(fresh_url, tmp_path, flow("f", t=params)) as one:
            assert (await call(one.address, "GET", "/?pass=k-12&q=1")).status == 401
            assert (await call(one.address, "GET", "/?pass=k-123&pass=k-123")).status == 401
            assert (await call(one.address, "GET", "/?pass=k-123&q=1")).status == 202
            assert await one.payloads() == [{"q": "1"}] and (await one.metas())[0]["query"] == {"q": "1"}

    run(test())


@pytest.mark.parametrize(("value", "says"), [(None, "SECRET_MISSING"), ("", "SECRET_MISSING"), ('{"other": "x"}', "token")])
def test_a_secret_that_is_missing_leaves_no_door_open(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, says: str
) -> None:
    if value is not None:
        monkeypatch.setenv("JETFLEET_SECRET_SHOP", value)

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("open", t={"path": "/open"})) as one:
            await one.client.deploy(flow("f", t={"auth": {"type": "bearer", "secret": "shop"}}), nodes=[NODES])
            await until(lambda: any(each.error for each in one.triggers.status()), "a source that says what is missing")
            (broken,) = [each for each in one.triggers.status() if each.error]
            assert broken.flow == "f" and says in broken.error
            turned_away = await post(one.address, "/", {})
            assert (turned_away.status, turned_away.code) == (503, "NOT_SERVING") and "retry-after" in turned_away.headers
            assert b"shop" not in turned_away.body
            assert (await post(one.address, "/other", {})).status == 404
            assert (await post(one.address, "/open", {})).status == 202
            await one.client.disable_trigger("f", "t")
            await until(lambda: len(one.triggers.status()) == 1, "a trigger that is served no more")
            assert (await post(one.address, "/", {})).status == 404

    run(test())


def test_where_nobody_else_listens_a_missing_secret_leaves_the_port_closed_until_it_is_there(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "BROKEN_S", 0.05)

    async def test() -> None:
        async with hooks(fresh_url, tmp_path) as one:
            await one.client.deploy(flow("f", t={"auth": {"type": "bearer", "secret": "shop"}}), nodes=[NODES])
            await until(lambda: any(each.restarts for each in one.triggers.status()), "a source that is made anew")
            (broken,) = one.triggers.status()
            assert not broken.detail and "SECRET_MISSING" in broken.error
            monkeypatch.setenv("JETFLEET_SECRET_SHOP", "k-123")
            await until(lambda: bool(one.triggers.status()[0].detail), "a source that listens")
            address = await (await one.source("f", "t")).listening()
            assert (await post(address, "/", {}, [("Authorization", "Bearer k-123")])).status == 202

    run(test())


def test_addresses_count_as_far_as_trusted_proxies_wrote_them(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        direct = flow("direct", t={"path": "/direct", "allow_ips": "192.0.2.0/24"})
        behind = flow(
            "behind",
            t={"path": "/behind", "allow_ips": ["192.0.2.0/24", "2001:db8::/32"], "trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]},
        )
        async with hooks(fresh_url, tmp_path, direct, behind) as one:
            answers = {
                ("/direct", ""): 403,
                ("/direct", "192.0.2.1"): 403,
                ("/behind", ""): 403,
                ("/behind", "192.0.2.1"): 202,
                ("/behind", "2001:db8::7, 10.1.2.3"): 202,
                ("/behind", "192.0.2.1, 203.0.113.9"): 403,
                ("/behind", "192.0.2.1, nonsense"): 403,
                ("/behind", "::ffff:192.0.2.9"): 202,
            }
            for (path, forwarded), status in answers.items():
                headers = [("X-Forwarded-For", forwarded)] if forwarded else []
                assert (await post(one.address, path, {}, headers)).status == status, (path, forwarded)
            assert {meta["remote"] for meta in await one.metas()} == {"192.0.2.1", "2001:db8::7", "::ffff:192.0.2.9"}

    run(test())


def test_slack_asks_first_whether_somebody_is_here(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", KEY.decode())
    sender, body = SENDERS["slack"], b'{"type": "url_verification", "challenge": "3eZbrw1a"}'

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"auth": {"type": "slack", "secret": "shop"}})) as one:
            assert (await post(one.address, "/", headers=[JSON], body=body)).status == 401
            answer = await post(one.address, "/", headers=[JSON, *sender.sign(body, KEY, now(), "sha256")], body=body)
            assert (answer.status, answer.body) == (200, b"3eZbrw1a") and await one.events() == []

    run(test())


def test_who_calls_too_often_is_told_when_to_come_back(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", "k-123")

    async def test() -> None:
        params = {"auth": {"type": "bearer", "secret": "shop"}, "rate_limit": 1, "rate_burst": 3}
        async with hooks(fresh_url, tmp_path, flow("f", t=params)) as one:
            strangers = await asyncio.gather(*(post(one.address, "/", {}) for _ in range(5)))
            assert {answer.status for answer in strangers} == {401}, "who may not call uses nothing up"
            good = [("Authorization", "Bearer k-123")]
            answers = await asyncio.gather(*(post(one.address, "/", {}, good) for _ in range(20)))
            refused = [answer for answer in answers if answer.status == 429]
            assert len(refused) >= 10 and {answer.status for answer in answers} == {202, 429}
            assert {(answer.code, answer.headers["retry-after"]) for answer in refused} == {("RATE_LIMIT", "1")}

    run(test())
