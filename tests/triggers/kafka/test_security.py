"""Who may connect: passwords by name only, certificates from files, and nothing that is missing is overlooked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker import secrets
from jetfleet.broker.kafka import INSTALL, KafkaUnusable, connection_options
from jetfleet.schemas.flow.kafka import KafkaSecurity
from jetfleet.schemas.source.loader import parse_flow
from jetfleet.triggers import Triggers

from ...fleet.fleets import NODES, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from . import real_broker
from .certificates import KEY_PASSWORD, Certificates
from .conftest import REAL
from .mock_cluster import MockKafka
from .real_broker import PASSWORD, USER, RealKafka
from .topics import Topic

SASL = {"protocol": "sasl_plaintext", "username": USER, "secret": "kafka_shop"}


def why(url: str, folder: Path, flow: dict[str, Any]) -> str:
    """Why the trigger of a flow cannot listen."""

    async def test() -> str:
        async with fleet(url, folder, workers=0) as one, Triggers(one.client, types=("kafka",), data=folder) as triggers:
            await one.client.deploy(flow, nodes=[NODES])
            await until(lambda: any(each.error for each in triggers.status()), "a reason")
            return triggers.status()[0].error

    return run(test(), 30)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"security": SASL}, "export JETFLEET_SECRET_KAFKA_SHOP"),
        ({"security": {"protocol": "SSL", "ca_file": "nowhere.pem"}}, "nowhere.pem"),
        ({"decoder": "nowhere_at_all:decode"}, "nowhere_at_all"),
        ({"brokers": "127.0.0.1:kafka"}, "127.0.0.1:kafka"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    mock_kafka: MockKafka, fresh_url: str, tmp_path: Path, params: dict[str, Any], reason: str
) -> None:
    error = why(fresh_url, tmp_path, Topic(mock_kafka, 1).flow(**params))
    assert error.startswith("SOURCE_BROKEN") and reason in error


def test_a_library_that_is_not_installed_is_named_with_the_command(
    mock_kafka: MockKafka, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(mock_kafka, 1)
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    error = why(fresh_url, tmp_path, topic.flow())
    assert error.startswith("SOURCE_BROKEN") and INSTALL in error


def test_brokers_that_are_not_there_are_named(fresh_url: str, tmp_path: Path, mock_kafka: MockKafka) -> None:
    topic = Topic(mock_kafka, 1)
    mock_kafka.down()
    error = why(fresh_url, tmp_path, topic.flow())
    assert error.startswith("SOURCE_FAILED") and mock_kafka.brokers.partition(",")[0] in error


@pytest.mark.parametrize("_", [REAL])
def test_a_user_with_the_right_password_reads_and_another_one_is_told(
    request: pytest.FixtureRequest, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: str
) -> None:
    broker: RealKafka = request.getfixturevalue("real_kafka")
    topic = Topic(broker, 1)
    flow = topic.flow(brokers=broker.guarded, security=SASL)
    monkeypatch.setenv("JETFLEET_SECRET_KAFKA_SHOP", "a wrong one")
    error = why(fresh_url, tmp_path / "wrong", flow)
    assert error.startswith("SOURCE_BROKEN") and "uthentication" in error and real_broker.PASSWORD not in error
    monkeypatch.setenv("JETFLEET_SECRET_KAFKA_SHOP", PASSWORD)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            sent = set(await topic.send([b"1", b"2"]))
            await until(lambda: sent <= one.log.begun, f"runs, {triggers.status()}")

    run(test(), 30)


@pytest.mark.parametrize("_", [REAL])
@pytest.mark.parametrize(
    ("protocol", "mechanism"), [("SASL_PLAINTEXT", "SCRAM-SHA-256"), ("SASL_SSL", "SCRAM-SHA-512"), ("SASL_SSL", "PLAIN")]
)
def test_a_password_proves_who_reads_by_each_mechanism_with_tls_and_without(
    request: pytest.FixtureRequest,
    fresh_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    mechanism: str,
    _: str,
) -> None:
    broker: RealKafka = request.getfixturevalue("real_kafka")
    monkeypatch.setenv("JETFLEET_SECRET_KAFKA_SHOP", PASSWORD)
    topic = Topic(broker, 1)
    secured = {"brokers": broker.secured, "security": SASL | {"protocol": protocol, "ca_file": str(broker.certificates.ca)}}
    guarded = {"brokers": broker.guarded, "security": SASL}
    params = secured if protocol == "SASL_SSL" else guarded

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            await one.client.deploy(topic.flow(**params | {"security": params["security"] | {"sasl_mechanism": mechanism}}), nodes=[NODES])
            sent = set(await topic.send([b"1", b"2"]))
            await until(lambda: sent <= one.log.begun, f"runs, {triggers.status()}")

    run(test(), 30)


def tls(certificates: Certificates, **keys: Any) -> dict[str, Any]:
    files = {"ca_file": str(certificates.ca), "cert_file": str(certificates.cert), "key_file": str(certificates.key)}
    return {"protocol": "SSL", "key_secret": "kafka_key", **files, **keys}


@pytest.mark.parametrize("_", [REAL])
def test_brokers_are_known_by_their_authority_and_clients_by_their_certificate(
    request: pytest.FixtureRequest, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: str
) -> None:
    broker: RealKafka = request.getfixturevalue("real_kafka")
    monkeypatch.setenv("JETFLEET_SECRET_KAFKA_KEY", KEY_PASSWORD)
    topic = Topic(broker, 1)
    strangers = why(fresh_url, tmp_path / "wrong", topic.flow(brokers=broker.encrypted, security={"protocol": "SSL"}))
    assert strangers.startswith("SOURCE_BROKEN") and "CERTIFICATE_VERIFY_FAILED" in strangers

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one, Triggers(one.client, types=("kafka",), data=tmp_path):
            await one.client.deploy(topic.flow(brokers=broker.encrypted, security=tls(broker.certificates)), nodes=[NODES])
            sent = set(await topic.send([b"1", b"2"]))
            await one.log.until(lambda: sent <= one.log.begun, "runs")

    run(test(), 30)


def test_a_key_is_opened_with_its_secret_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    security = KafkaSecurity.model_validate(tls(Certificates(tmp_path)))
    options = connection_options(["b:1"], security, {"JETFLEET_SECRET_KAFKA_KEY": KEY_PASSWORD})
    assert options["ssl_context"].check_hostname and options["security_protocol"] == "SSL"
    for wrong in ("another one", ""):
        with pytest.raises((KafkaUnusable, secrets.SecretMissing), match=r"key\.pem|KAFKA_KEY"):
            connection_options(["b:1"], security, {"JETFLEET_SECRET_KAFKA_KEY": wrong})
    with pytest.raises(KafkaUnusable, match=r"key\.pem"):  # and nobody is asked for it at the terminal
        connection_options(["b:1"], security.model_copy(update={"key_secret": None}), {})


@pytest.mark.parametrize(
    ("security", "code"),
    [
        ({"protocol": "SASL_SSL", "username": "shop"}, "MISSING_FIELD"),
        ({"protocol": "SASL_SSL", "username": "shop", "password": "s3cret"}, "INVALID_VALUE"),
        ({"username": "shop", "secret": "kafka"}, "INVALID_VALUE"),
        ({"ca_file": "ca.pem"}, "INVALID_VALUE"),
        ({"protocol": "SSL", "cert_file": "cert.pem"}, "MISSING_FIELD"),
        ({"protocol": "TLS"}, "INVALID_VALUE"),
    ],
)
def test_security_that_cannot_work_is_refused_when_the_flow_is_validated(security: dict[str, Any], code: str) -> None:
    params = {"brokers": "b:1", "group_id": "g", "topic": "t", "security": security}
    flow = {"name": "f", "triggers": [{"id": "in", "type": "kafka", "params": params}]}
    assert [problem.code for problem in parse_flow(json.dumps(flow).encode()).errors] == [code]
    assert "s3cret" not in str(parse_flow(json.dumps(flow).encode()).errors)


def test_a_secret_is_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("from-file\n")
    (tmp_path / "Odd").write_text("odd")
    environ = {"JETFLEET_SECRET_API": "from-variable", "JETFLEET_SECRETS": str(tmp_path)}
    assert secrets.find("api", environ) == secrets.find("API", environ) == "from-variable"
    assert secrets.find("BANK", environ) == "from-file" and secrets.find("Odd", environ) == "odd"
    assert secrets.find("../bank", environ) is None
    assert list(secrets.names(environ)) == ["api", "bank", "odd"]
    assert secrets.require("bank", environ | {"JETFLEET_SECRET_BANK": "the variable counts"}) == "the variable counts"
    with pytest.raises(secrets.SecretMissing, match="export JETFLEET_SECRET_NOPE"):
        secrets.require("nope", environ)
