"""The flow registry: deployed once, the same plan everywhere, and nothing broken stops anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.definitions import BrokenDefinition, DigestMismatch, compile_definition, define
from jetfleet.broker.deployment import ensure
from jetfleet.broker.flows import Flows, PlanUnknown
from jetfleet.broker.topology import Topology, flow_consumer
from jetfleet.broker.versions import deploy, undeploy
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.flow.node_types import Kind, NodeType
from jetfleet.schemas.messages import Definition
from jetfleet.schemas.source.loader import load_flow

from .background import BackgroundServer
from .conftest import start_server
from .running import run
from .trouble import restarted, until

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
OWN = {
    "shop.charge": NodeType("shop.charge", Kind.TASK, ports=("out", "declined")),
    "shop.pack": NodeType("shop.pack", Kind.TASK),
    "shop.unused": NodeType("shop.unused", Kind.TASK, ports=("a", "b")),
}


def flow(version: str = "1.0", description: str | None = None, name: str = "orders") -> Flow:
    return Flow.model_validate(
        {
            "name": name,
            "version": version,
            "description": description,
            "triggers": [{"id": "new", "type": "trigger::manual"}],
            "nodes": {"charge": {"type": "shop.charge", "retry": {"backoff_multiplier": 2}}, "pack": {"type": "shop.pack"}},
            "edges": [{"from": "new", "to": "charge"}, {"from": "charge", "to": "pack"}],
        }
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundServer]:
    started = start_server(tmp_path_factory.mktemp("nats"))
    yield started
    started.stop()


async def connect(server: BackgroundServer) -> Connection:
    connection = await Connection.open(server.url, name="test")
    await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
    return connection


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_compiles_to_its_digest_on_another_machine(file: Path) -> None:
    loaded, plan = load_flow(file).require()
    definition = define(loaded)
    travelled = messages.decode(Definition, messages.encode(definition))
    assert compile_definition(travelled).digest == plan.digest == definition.digest


def test_the_ports_of_own_types_travel_with_the_definition() -> None:
    nobody_knew, described = define(flow()), define(flow(), OWN)
    assert nobody_knew.types is None
    assert described.types == {"shop.charge": ("out", "declined"), "shop.pack": ("out",)}
    assert nobody_knew.digest != described.digest
    for definition in (nobody_knew, described):
        assert compile_definition(messages.decode(Definition, messages.encode(definition))).digest == definition.digest
    assert "declined" in compile_definition(described).node("charge").ports


def test_a_definition_that_means_something_else_here_is_refused() -> None:
    definition = define(flow(), OWN)
    with pytest.raises(DigestMismatch, match="orders"):
        compile_definition(msgspec.structs.replace(definition, types={}))
    for source in (b"", b"[]", b'{"name": 1}', b"\xff", b"[" * 100_000, b'{"name": "x", "edges": [{"from": "a", "to": "b"}]}'):
        with pytest.raises(BrokenDefinition, match="deploy it again"):
            compile_definition(msgspec.structs.replace(definition, source=source))


def test_what_is_deployed_is_seen_by_those_who_are_there_and_those_who_come(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            early = Flows(connection)
            await early.start()
            told: list[str] = []
            early.on_change.append(told.append)
            first = await deploy(connection, define(flow(name="seen"), OWN))
            assert (first.name, first.version, first.changed) == ("seen", "1.0", True)
            late = Flows(connection)
            await late.start()
            await early.caught_up()
            assert told == ["seen"]
            for flows in (early, late):
                plan = flows.current("seen")
                assert plan is not None and plan.digest == first.digest
                assert flows.plan(first.digest) is plan
                assert "seen" in flows.names()
                assert await flows.fetch(first.digest) is plan
            assert await connection.streams.consumer_info(subjects.EVENTS, flow_consumer("seen")) is not None
            await early.stop()
            await late.stop()

    run(test())


def test_deploying_again_changes_only_what_is_new(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            first = await deploy(connection, define(flow(name="again")))
            assert not (await deploy(connection, define(flow(name="again")))).changed
            assert not (await deploy(connection, define(flow(name="again", description="now with words")))).changed
            second = await deploy(connection, define(flow("2.0", name="again")))
            assert second.changed and second.digest != first.digest
            flows = Flows(connection)
            await flows.start()
            current = flows.current("again")
            assert current is not None and current.version == "2.0"
            old = flows.plan(first.digest)
            assert old is not None and (old.version, old.description) == ("1.0", "now with words")
            await flows.stop()

    run(test())


def test_an_undeployed_flow_is_not_current_but_its_versions_stay(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            flows = Flows(connection)
            await flows.start()
            done = await deploy(connection, define(flow(name="short")))
            assert await undeploy(connection, "short")
            assert not await undeploy(connection, "short")
            await flows.caught_up()
            assert flows.current("short") is None and "short" not in flows.names()
            assert flows.plan(done.digest) is not None
            assert (await deploy(connection, define(flow(name="short")))).changed
            await flows.caught_up()
            assert flows.current("short") is not None
            await flows.stop()

    run(test())


def test_a_plan_is_fetched_before_it_was_heard_of(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            done = await deploy(connection, define(flow(name="fetched")))
            flows = Flows(connection)
            assert flows.plan(done.digest) is None
            assert (await flows.fetch(done.digest)).name == "fetched"
            with pytest.raises(PlanUnknown, match="deploy"):
                await flows.fetch("0" * 64)

    run(test())


def test_broken_entries_stop_nobody(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            good = define(flow(name="good"))
            other = msgspec.structs.replace(good, source=b"{}")
            publish = connection.publisher.publish
            await publish(subjects.plan("1" * 64), b"no definition")
            await publish(subjects.plan("2" * 64), messages.encode(good))
            await publish(subjects.plan("3" * 64), messages.encode(msgspec.structs.replace(other, digest="3" * 64)))
            await publish(subjects.current_flow("broken"), b"\xc1")
            await publish(subjects.current_flow("lost"), messages.encode(messages.Current("lost", "1", "9" * 64)))
            flows = Flows(connection)
            await flows.start()
            await deploy(connection, good)
            await until(lambda: flows.current("good") is not None, "the good flow")
            assert "broken" not in flows.names()
            assert flows.current("lost") is None
            for digest, expected in (("1", BrokenDefinition), ("2", DigestMismatch), ("3", BrokenDefinition)):
                assert flows.plan(digest * 64) is None
                with pytest.raises(expected):
                    await flows.fetch(digest * 64)
            with pytest.raises(BrokenDefinition):
                await deploy(connection, other)
            await flows.stop()

    run(test())


def test_the_registry_outlives_a_restart_of_the_server(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            flows = Flows(connection)
            await flows.start()
            await deploy(connection, define(flow(name="before")))
            await restarted(server)
            await deploy(connection, define(flow(name="after")))
            await until(lambda: flows.current("after") is not None, "the flow deployed after the restart")
            assert flows.current("before") is not None
            await flows.stop()

    run(test())
