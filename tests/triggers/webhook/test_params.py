"""The params of a webhook: every spelling has one normal form, and what makes no sense is refused with a hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from jetfleet.broker import secrets
from jetfleet.broker.api import Client
from jetfleet.broker.definitions import define
from jetfleet.broker.versions import deploy
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES, parse_params
from jetfleet.schemas.source.deployment import for_deployment
from jetfleet.schemas.source.loader import parse_flow
from jetfleet.triggers import Triggers

from ...fleet.running import run


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"type": "apiKey", "secret": "a"}, {"type": "api_key", "secrets": ["a"], "key": "token"}),
        ({"type": "API-Key", "secrets": ["a", "b"]}, {"type": "api_key", "secrets": ["a", "b"]}),
        ({"type": "standard-webhooks", "secrets": "a"}, {"type": "standard", "secrets": ["a"], "tolerance_s": 300}),
        ({"type": "Bearer", "secret": "a", "key": "k"}, {"type": "bearer", "key": "k"}),
    ],
)
def test_every_spelling_of_a_proof_is_understood(auth: dict[str, Any], expected: dict[str, Any]) -> None:
    params = parse_params(TRIGGER_TYPES["webhook"], {"auth": auth}).model_dump()
    assert expected.items() <= params["auth"].items()


@pytest.mark.parametrize(
    ("params", "code", "says"),
    [
        ({"path": "/orders/{id"}, "INVALID_VALUE", "{id"),
        ({"path": "/a/{x}/b/{x}"}, "INVALID_VALUE", "the same name"),
        ({"path": "/a/{rest:path}/b"}, "INVALID_VALUE", "follows"),
        ({"path": "/a/../b"}, "INVALID_VALUE", ".."),
        ({"path": "/a?b=c"}, "INVALID_VALUE", "b=c"),
        ({"path": "/-/health"}, "INVALID_VALUE", "listener's own"),
        ({"allow_ips": ["192.0.2.0/33"]}, "INVALID_VALUE", "192.0.2.0/33"),
        ({"idempotency_header": "no header"}, "INVALID_VALUE", "no header"),
        ({"auth": {"type": "md5", "secret": "a"}}, "INVALID_VALUE", "md5"),
        ({"auth": {"type": "bearer"}}, "MISSING_FIELD", "secret"),
        ({"auth": {"type": "github", "secret": "a", "header": "X-Mine"}}, "INVALID_VALUE", "header"),
        ({"auth": {"type": "api_key", "secret": "a", "header": "X", "query": "k"}}, "INVALID_VALUE", "exclude"),
        ({"rate_limit": 0}, "INVALID_VALUE", "rate_limit"),
        ({"secret": "s3cret"}, "UNKNOWN_KEY", "secret"),
        ({"auth": {"type": "bearer", "secret": "-leading"}}, "INVALID_VALUE", "no name of a secret"),
        ({"auth": {"type": "bearer", "secret": "a" * 65}}, "INVALID_VALUE", "no name of a secret"),
    ],
)
def test_what_makes_no_sense_is_refused(params: dict[str, Any], code: str, says: str) -> None:
    (problem,) = parse_flow(_flow("webhook", params)).problems
    assert problem.code == code and says in str(problem)


PASTED = "sk-live my s3cret!"
KAFKA = {"brokers": "b:9092", "group_id": "g", "topic": "t"}


@pytest.mark.parametrize(
    ("type", "params"),
    [
        ("webhook", {"auth": {"type": "bearer", "secret": PASTED}}),
        ("webhook", {"auth": {"type": "bearer", "secrets": ["new", PASTED]}}),
        ("kafka", KAFKA | {"security": {"protocol": "SASL_SSL", "username": "u", "secret": PASTED}}),
        ("kafka", KAFKA | {"security": {"protocol": "SSL", "cert_file": "c", "key_file": "k", "key_secret": PASTED}}),
    ],
)
def test_a_secret_that_stands_where_its_name_belongs_is_refused_and_not_repeated(type: str, params: dict[str, Any]) -> None:
    (problem,) = parse_flow(_flow(type, params)).problems
    assert problem.code == "INVALID_VALUE" and "no name of a secret" in problem.message
    assert "s3cret" not in repr(problem)


def test_a_text_that_is_no_name_is_not_repeated_where_secrets_are_looked_up() -> None:
    with pytest.raises(secrets.SecretMissing) as error:
        secrets.require(PASTED, {})
    assert "s3cret" not in str(error.value).lower()
    with pytest.raises(secrets.SecretMissing, match=r"JETFLEET_SECRET_SHOP_KEY .*/shop_key"):
        secrets.require("shop_key", {})
    with pytest.raises(secrets.SecretMissing) as error:
        secrets.require("shop-key", {})
    assert "JETFLEET_SECRET_" not in str(error.value), "a shell takes no such name"


@pytest.mark.parametrize(
    ("params", "warned"),
    [
        (None, True),
        ({"host": "::"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"allow_ips": "192.0.2.0/24"}, False),
        ({"auth": {"type": "bearer", "secret": "shop"}}, False),
    ],
)
def test_an_open_webhook_is_warned_of_before_it_is_deployed(params: Any, warned: bool) -> None:
    problems = for_deployment(parse_flow(_flow("webhook", params)))
    assert [(problem.code, problem.severity) for problem in problems] == [("OPEN_WEBHOOK", "warning")] * warned


def _flow(type: str, params: Any) -> bytes:
    flow = {"name": "f", "triggers": [{"id": "t", "type": type, "params": params}], "nodes": {"a": {"type": "std::log"}}}
    return yaml.safe_dump(flow | {"edges": [{"from": "t", "to": "a"}]}).encode()


def test_params_of_an_older_deployment_that_are_refused_now_are_not_repeated_in_the_log(fresh_url: str, tmp_path: Path) -> None:
    flow = yaml.safe_load(_flow("webhook", {"auth": {"type": "bearer", "secret": PASTED}}))

    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await deploy(client.connection, define(Flow.model_validate(flow)))
            await client.flows.caught_up()
            with capture_logs() as lines:
                async with Triggers(client, types=("webhook",), data=tmp_path) as triggers:
                    assert not triggers.status()
            (line,) = [line for line in lines if "not valid here" in line["event"]]
            assert "auth" in line["reason"] and "s3cret" not in repr(lines)

    run(test())
