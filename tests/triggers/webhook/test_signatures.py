"""Signatures: only what the sender signed starts a run, once, with whichever secret is valid at the moment."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.triggers import pauses
from jetfleet.triggers import Triggers
from jetfleet.triggers.webhook import guards
from jetfleet.triggers.webhook.replies import Refusal
from jetfleet.triggers.webhook.request import Request, Room
from jetfleet.triggers.webhook.signatures import Github, Signature, Slack, Standard
from jetfleet.triggers.webhook.source import WebhookSource
from jetfleet.triggers.webhook.spool import Spool

from ...fleet.running import run
from ...fleet.trouble import until
from .calling import post
from .hooks import flow, hooks
from .signing import KEY, SENDERS, Headers, Sender, now

BODY = b'{"id": "evt_1", "event_id": "Ev1", "amount": 7}'
JSON = ("Content-Type", "application/json")


def changed(headers: Headers, name: str, value: str) -> Headers:
    return [(each, value if each == name else old) for each, old in headers]


def forgeries(sender: Sender) -> dict[str, tuple[bytes, Headers]]:
    """What an attacker may send who has seen a request that is right."""
    good = sender.sign(BODY, KEY, now(), "sha256")
    signature = dict(good)[sender.signature]
    cut = changed(good, sender.signature, signature[:-40])
    found = {
        "no signature": (BODY, [each for each in good if each[0] != sender.signature]),
        "an empty signature": (BODY, changed(good, sender.signature, "")),
        "a truncated signature": (BODY, cut),
        "two signatures": (BODY, [*good, (sender.signature, signature)]),
        "an altered body": (BODY.replace(b"7", b"8"), good),
        "the same JSON in other bytes": (BODY.replace(b" ", b""), good),
        "another secret": (BODY, sender.sign(BODY, b"another", now(), "sha256")),
        "no secret": (BODY, sender.sign(BODY, b"", now(), "sha256")),
        "another algorithm": (BODY, sender.sign(BODY, KEY, now(), "sha1")),
        "bytes that are no text": (BODY, changed(good, sender.signature, "\u00ff\u00fe")),
    }
    if sender.timed:
        times = {"too old": now() - 1_000, "from the future": now() + 1_000}
        found |= {name: (BODY, sender.sign(BODY, KEY, at, "sha256")) for name, at in times.items()}
        aged = [(name, value.replace(str(now())[:8], "17000000")) for name, value in good]
        found["a changed time"] = (BODY, aged)
    return found


def signed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A flow per kind of signature, with its secret."""
    for name, sender in SENDERS.items():
        monkeypatch.setenv(f"JETFLEET_SECRET_{name.upper()}", sender.secret(KEY))
    return [flow(name, t={"path": f"/{name}", "auth": {**sender.auth, "secret": name}}) for name, sender in SENDERS.items()]


def test_only_what_is_signed_right_starts_a_run(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, *signed(monkeypatch)) as one:
            for name, sender in SENDERS.items():
                for what, (body, headers) in forgeries(sender).items():
                    answer = await post(one.address, f"/{name}", headers=[JSON, *headers], body=body)
                    assert answer.status == 401 and answer.code == "UNAUTHORIZED", f"{name}: {what}"
                assert await one.events(name) == []
                answer = await post(one.address, f"/{name}", headers=[JSON, *sender.sign(BODY, KEY, now(), "sha256")], body=BODY)
                assert answer.status == 202, name
                (meta,) = await one.metas(name)
                assert sender.signature.lower() not in meta["headers"]

    run(test())


def test_what_is_sent_again_is_the_same_run_also_when_nobody_remembers_it(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with (
            hooks(fresh_url, tmp_path, *signed(monkeypatch)) as one,
            Triggers(one.client, types=("webhook",), data=tmp_path) as restarted,
        ):
            for name, sender in SENDERS.items():
                headers = [JSON, *sender.sign(BODY, KEY, now(), "sha256")]
                answers = [await post(one.address, f"/{name}", headers=headers, body=BODY) for _ in range(3)]
                assert len(await one.events(name)) == 1, name
                source = await restarted.source(name, "t")
                assert isinstance(source, WebhookSource)
                unsigned = [] if name == "github" else [("Idempotency-Key", "another")]
                answers.append(await post(await source.listening(), f"/{name}", headers=headers + unsigned, body=BODY))
                assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}, name
                assert len({event.key for event in await one.events(name)}) == 1, name

    run(test())


PUBLISHED: list[tuple[Signature, list[tuple[bytes, bytes]], bytes]] = [
    (
        Github([b"It's a Secret to Everybody"]),
        [(b"x-hub-signature-256", b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")],
        b"Hello, World!",
    ),
    (
        Slack([b"8f742231b10e8888abcd99yyyzzz85a5"]),
        [
            (b"x-slack-signature", b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            (b"x-slack-request-timestamp", b"1531420618"),
        ],
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    ),
    (
        Standard([b"whsec_plJ3nmyCDGBKInavdOK15jsl"]),
        [
            (b"webhook-id", b"msg_loFOjxBNrRLzqYUf"),
            (b"webhook-timestamp", b"1731705121"),
            (b"webhook-signature", b"v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
        ],
        b'{"event_type":"ping","data":{"success":true}}',
    ),
]


@pytest.mark.parametrize(("guard", "headers", "body"), PUBLISHED)
def test_what_providers_publish_as_their_examples_is_signed_right(
    guard: Signature, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    guard.tolerance_s = 1 << 40
    for sent, fits in ((body, True), (body + b" ", False)):
        spool = Spool()
        spool.add(sent)
        with nullcontext() if fits else pytest.raises(Refusal):
            guard.verify(asked(headers), spool)


def asked(headers: list[tuple[bytes, bytes]]) -> Request:
    async def nothing() -> None: ...

    scope = {"method": "POST", "path": "/", "headers": headers, "client": None, "query_string": b""}
    return Request(scope, nothing, {}, Room(0))


def test_while_secrets_are_exchanged_both_are_valid(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_NEW", '{"token": "new", "other": "x"}')
    monkeypatch.setenv("JETFLEET_SECRET_OLD", "old")

    async def test() -> None:
        sender = SENDERS["github"]
        async with hooks(fresh_url, tmp_path, flow("f", t={"auth": {"type": "github", "secrets": ["new", "old"]}})) as one:
            keys = {b"new": 202, b"old": 202, b"x": 401, b"ancient": 401}
            for key, status in keys.items():
                assert (await post(one.address, "/", headers=sender.sign(BODY, key, 0, "sha256"), body=BODY)).status == status, key

    run(test())


def test_a_secret_that_is_exchanged_counts_at_once_and_one_that_is_taken_away_closes_the_door(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "LOOK_S", 0.0)
    monkeypatch.setattr(pauses, "BROKEN_S", 0.05)
    monkeypatch.setenv("JETFLEET_SECRETS", str(tmp_path))
    secret, sender = tmp_path / "shop", SENDERS["github"]

    async def test() -> None:
        async def status(key: bytes) -> int:
            return (await post(one.address, "/", headers=sender.sign(BODY, key, 0, "sha256"), body=BODY)).status

        secret.write_text("first")
        async with hooks(
            fresh_url, tmp_path, flow("f", t={"auth": {"type": "github", "secret": "shop"}}), flow("g", t={"path": "/g"})
        ) as one:
            assert [await status(b"first"), await status(b"second")] == [202, 401]
            secret.write_text("second\n")
            assert [await status(b"first"), await status(b"second")] == [401, 202]
            secret.unlink()
            assert await status(b"second") == 503
            await until(
                lambda: any("SECRET_MISSING" in each.error for each in one.triggers.status()), "a trigger that says what is missing"
            )
            secret.write_text("third")
            await until(lambda: all(each.detail for each in one.triggers.status()), "a trigger that listens again")
            assert [await status(b"second"), await status(b"third")] == [401, 202]

    run(test())
