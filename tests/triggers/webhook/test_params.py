"""The params of a webhook: every spelling has one normal form, and what makes no sense is refused with a hint."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES, parse_params
from jetfleet.schemas.source.loader import parse_flow


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
    ],
)
def test_what_makes_no_sense_is_refused(params: dict[str, Any], code: str, says: str) -> None:
    flow = {"name": "f", "triggers": [{"id": "t", "type": "webhook", "params": params}], "nodes": {"a": {"type": "std::log"}}}
    flow["edges"] = [{"from": "t", "to": "a"}]
    (problem,) = parse_flow(yaml.safe_dump(flow).encode()).problems
    assert problem.code == code and says in str(problem)
