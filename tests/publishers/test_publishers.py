"""Each publisher of `examples/publishers/`, run as the page there says: against a fleet, a server that is away, and one that asks who comes."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.credentials import Credentials
from jetfleet.broker.deployment import ensure
from jetfleet.broker.permissions import ROLES, Scope
from jetfleet.broker.queues import ensure_queue
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.server.roles import inbox, roles_text
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from ..fleet.fleets import chain, fleet
from ..fleet.running import run
from ..security.certificates import Authority
from ..security.servers import PASSWORD, secured
from ..triggers.queue.places import listening, run_of
from .programs import LARGE, OFFLINE, PUBLISHERS, WITH_A_LIBRARY, WITH_A_SOCKET, Program, Publisher, each

EVENT = '{"text": "grüße"}'
LINES_MAX = 30


async def told(publisher: Publisher, server: str, to: str, key: str = "4711", **settings: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(publisher.publish, server, to, key, EVENT, settings)


async def starts_runs(publisher: Publisher, url: str, server: str, folder: Path, settings: Mapping[str, str]) -> None:
    """An event of a flow and a message for a queue are one run each, however often they are sent; what is refused is said."""

    async def published(to: str, key: str = "4711") -> str:
        done = await told(publisher, server, to, key, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with fleet(url, folder) as one:
        await one.deploy(chain("orders"), listening("bills", {"name": "bills"}))
        first, again = await published("orders"), await published("orders")
        assert "EVENTS" in first and "duplicate" in again.lower()
        assert "QUEUE_bills" in await published("queue.bills")
        for id in (subjects.run_id("orders", "orders-4711"), run_of("bills", "queue.bills-4711")):
            result = await (await one.client.handle(id)).result(15)
            assert result.output == {"text": "grüße"}
        assert one.coordinators[0].counters.runs_started == 2
        await ensure_queue(one.client.connection, "small", 1)
        await published("queue.small", "fits")
        for to in ("queue.small", "queue.nobody"):
            refused = await told(publisher, server, to, "one too many", **settings)
            assert refused.returncode == 1 and "not published" in refused.stderr


@pytest.mark.parametrize("program", each(WITH_A_SOCKET))
def test_a_publisher_with_a_socket_starts_runs(fresh_url: str, tmp_path: Path, program: Program) -> None:
    publisher = program.ready(tmp_path)
    run(starts_runs(publisher, fresh_url, fresh_url.removeprefix("nats://"), tmp_path, OFFLINE), 120)


@pytest.mark.parametrize("program", each(WITH_A_LIBRARY))
def test_a_publisher_with_the_library_of_nats_starts_runs(fresh_url: str, tmp_path: Path, program: Program) -> None:
    """Also on a server that is encrypted and asks for a password; and it says so if there is no server."""
    publisher = program.ready(tmp_path)

    async def test() -> None:
        await starts_runs(publisher, fresh_url, fresh_url, tmp_path, {})
        away = await told(publisher, f"nats://127.0.0.1:{free_port()}", "orders")
        assert away.returncode == 1 and "not published" in away.stderr
        await _is_let_in(publisher, tmp_path / "secured")

    run(test(), 150)


async def _is_let_in(publisher: Publisher, folder: Path) -> None:
    """With the user for publishers, and the authority that vouches for the server; without a password it is not."""
    authority = Authority(folder)
    pair = authority.vouch("server", "127.0.0.1", "localhost")  # Node.js asks for a name where it is given an address
    said = roles_text(ROLES, Scope(partitions=2)) + f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}" }}\n'
    for role in ROLES:
        said = said.replace(f"$JETFLEET_PASSWORD_{role.upper()}", f'"{PASSWORD}"')
    settings = {"NATS_USER": "publisher", "NATS_INBOX_PREFIX": inbox("publisher"), "NATS_CA": str(authority.file)}
    settings["JAVA_TOOL_OPTIONS"] = f"-Djavax.net.ssl.trustStore={_trust_store(authority)} -Djavax.net.ssl.trustStorePassword={PASSWORD}"
    with secured(folder / "server", said) as server:
        trusted = Credentials(tls_ca=str(authority.file), inbox=inbox("coordinator"))
        async with await Connection.open(server.as_user("coordinator"), name="test", credentials=trusted) as connection:
            await ensure(connection, Topology(partitions=2))
            url = server.url.replace("nats:", "tls:")
            done = await told(publisher, url, "orders", NATS_PASSWORD=PASSWORD, **settings)
            assert done.returncode == 0, done.stderr
            stored = await connection.streams.get(subjects.EVENTS, 1)
            assert stored is not None and stored.data.decode() == EVENT and stored.headers["Nats-Msg-Id"] == "orders-4711"
            refused = await told(publisher, url, "orders", NATS_PASSWORD="guessed", **settings)
            assert refused.returncode == 1 and "not published" in refused.stderr
        assert server.refusals() == []


def _trust_store(authority: Authority) -> Path:
    """What Java reads instead of PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    store = authority.file.with_suffix(".p12")
    certificate = pkcs12.PKCS12Certificate(x509.load_pem_x509_certificate(authority.file.read_bytes()), b"authority")
    store.write_bytes(pkcs12.serialize_java_truststore([certificate], BestAvailableEncryption(PASSWORD.encode())))
    return store


@pytest.mark.parametrize("program", each(LARGE))
def test_a_large_message_is_sent_and_the_large_output_of_its_run_read(fresh_url: str, tmp_path: Path, program: Program) -> None:
    """Several chunks, the last one a short one."""
    publisher, sent = program.ready(tmp_path), random.Random(5).randbytes((3 << 20) + 8)
    (tmp_path / "sent").write_bytes(sent)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("bills", {"name": "bills"}))
            words = [*publisher.command, fresh_url, "queue.bills", "bills/in", "4711", str(tmp_path / "sent")]
            done = await asyncio.to_thread(subprocess.run, words, cwd=publisher.folder, capture_output=True, timeout=60)
            assert (done.returncode, done.stdout) == (0, sent), done.stderr.decode()

    run(test(), 100)


@pytest.mark.parametrize("program", each(WITH_A_SOCKET[:1]))
def test_a_publisher_says_why_nothing_was_published(fresh_url: str, tmp_path: Path, program: Program) -> None:
    done = program.ready(tmp_path).publish(fresh_url.removeprefix("nats://"), "orders", "1", "{}", {})
    assert (done.returncode, done.stdout) == (1, "")
    assert "no coordinator was ever started here" in done.stderr


@pytest.mark.parametrize("program", WITH_A_LIBRARY, ids=lambda program: program.language)
def test_a_publisher_with_the_library_is_short(program: Program) -> None:
    lines = (PUBLISHERS / program.folder / program.source).read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith("//")]
    assert len(code) <= LINES_MAX
