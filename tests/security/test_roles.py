"""A whole fleet, each process with a user of its own that may do what its role needs and no more: everything works, nothing is denied."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from jetfleet.broker.api import Client
from jetfleet.broker.client import Denied
from jetfleet.broker.coordinator.coordinator import Coordinator, CoordinatorSettings
from jetfleet.broker.deployment import ensure, joined
from jetfleet.broker.observe.backlog import Backlog
from jetfleet.broker.permissions import Scope
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.server.roles import inbox
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects
from jetfleet.schemas.cli import FAILED, main
from jetfleet.workers import Registry
from jetfleet.workers.fleet.settings import WorkerSettings
from jetfleet.workers.fleet.worker import Worker

from ..fleet.fleets import NODES, chain, flow
from ..fleet.running import run
from ..fleet.trouble import until
from ..fleet.worker_processes import CommandProcess
from .servers import PASSWORD, SecuredServer, connected, credentials, server_of_roles

RETRY = {"max_attempts": 3, "initial_delay_ms": 50, "jitter": False}
LARGE_BYTES = 3 << 20


class SecuredFleet:
    """Processes, by what they were started as."""

    def __init__(self, server: SecuredServer, folder: Path) -> None:
        self.server, self._folder = server, folder
        self.processes: dict[str, CommandProcess] = {}

    def start(self, name: str, role: str, *command: str) -> None:
        said = ("--nats", self.server.as_user(role), "--inbox", inbox(role), "--data", str(self._folder / name))
        self.processes[name] = CommandProcess(self._folder / f"{name}.log", *command, *said)

    async def client(self, role: str) -> Client:
        return await Client.connect(self.server.as_user(role), credentials=credentials(role))

    def logs(self) -> str:
        return "\n".join(process.log.read_text() for process in self.processes.values())


@contextmanager
def secured_fleet(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[SecuredFleet]:
    """Two coordinators, two workers on hosts that share no arena, a reader, and a process for triggers."""
    with ExitStack() as stack:
        server = stack.enter_context(server_of_roles(folder / "server", patch))
        fleet = SecuredFleet(server, folder)
        stack.callback(lambda: [process.kill_if_alive() for process in fleet.processes.values()])
        fleet.start("first", "coordinator", "coordinator", "--partitions", "2")
        yield fleet


def flows(port: int) -> list[dict[str, Any]]:
    wait = {"type": "std::wait", "config": {"hook_id": "ok"}}
    held = {"type": "f.gated", "concurrency": {"max": 1}}
    queue = {"id": "in", "type": "queue", "params": {"name": "letters"}}
    hook = {"id": "in", "type": "webhook", "params": {"port": port, "path": "/in"}}
    return [
        chain("quick"),
        flow("again", {"try": {"type": "f.picky", "retry": RETRY}}),
        flow("ask", {"ask": wait, "next": {"type": "f.echo"}}),
        flow("told", {"wait": {"type": "std::wait", "config": {"signal": "go"}}}),
        flow("later", {"wait": {"type": "std::delay", "config": {"duration_ms": 50}}}),
        flow("held", {"held": held}),
        flow("large", {"make": {"type": "f.large"}, "pass": {"type": "f.echo"}}),
        {"name": "letters", "triggers": [queue], "nodes": {"seen": {"type": "f.echo"}}, "edges": [{"from": "in", "to": "seen"}]},
        {"name": "hooked", "triggers": [hook], "nodes": {"seen": {"type": "f.echo"}}, "edges": [{"from": "in", "to": "seen"}]},
    ]


def test_a_fleet_works_with_the_least_that_each_role_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with secured_fleet(tmp_path, monkeypatch) as fleet:
            port, gate = free_port(), tmp_path / "gate"
            await until(lambda: "coordinator is up" in fleet.logs(), "a deployment")
            for name in ("one", "other"):
                fleet.start(name, "worker", "worker", "--nodes", NODES)
            fleet.start("reader", "reader", "reader")
            fleet.start("second", "coordinator", "coordinator")
            async with await fleet.client("operator") as operator:
                for each in flows(port):
                    await operator.deploy(each, nodes=[NODES])
            fleet.start("triggers", "trigger", "trigger", "serve")
            async with await fleet.client("client") as client:
                await _everything_is_tried(fleet, client, gate, port)
            assert fleet.server.refusals() == []
            assert "denied" not in fleet.logs() and PASSWORD not in fleet.logs()

    run(test(), 90)


async def _everything_is_tried(fleet: SecuredFleet, client: Client, gate: Path, port: int) -> None:
    """Runs of every kind, a coordinator that is killed while one is open, and questions about them."""
    held = await client.start("held", {"gate": str(gate)})
    queued = await client.start("held", {"gate": str(gate)})
    quick = [await client.start("quick", {"n": n}) for n in range(20)]
    again = await client.start("again", {"fails": 2})
    asked, told = await client.start("ask", {}), await client.start("told", {})
    later, large = await client.start("later", {}), await client.start("large", {"bytes": LARGE_BYTES})
    await _published(fleet, told.id)
    await _asked(client)
    assert (await told.result(30)).completed
    for handle in (*quick, again, asked, later):
        assert (await handle.result(30)).completed, handle.id
    assert len((await large.result(30)).output) == LARGE_BYTES
    await until(lambda: "serves triggers" in fleet.logs(), "a process for triggers")
    await asyncio.to_thread(_called, port)
    fleet.processes["first"].kill()
    gate.touch()
    assert (await held.result(40)).completed and (await queued.result(40)).completed
    await _listed(client, {"quick": 20, "letters": 1, "hooked": 1, "large": 1, "held": 2})


async def _published(fleet: SecuredFleet, waits: str) -> None:
    """By a program that may publish and nothing else."""
    async with await connected(fleet.server, "publisher") as publisher:
        await publisher.publisher.publish("queue.letters", b'{"n": 1}', id="letter")
        await publisher.publisher.publish(subjects.event("quick", "go"), b'{"n": 99}', id="quick-99")
        await publisher.publisher.publish(subjects.signal(waits, "go"), b"{}", id="go")


async def _asked(client: Client) -> None:
    async with asyncio.timeout(20):
        while not (waiting := (await client.pending(flow="ask")).rows):
            await asyncio.sleep(0.02)
    token = await client.token(waiting[0])
    assert (await client.answer(token, "approve", by="ann")).decision == "approve"


def _called(port: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/in", json.dumps({"n": 1}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status in (200, 202)


async def _listed(client: Client, counts: dict[str, int]) -> None:
    """The read model knows them all, once it has heard of them. One of `quick` came from the publisher."""
    async with asyncio.timeout(20):
        for name, count in counts.items():
            while len((await client.runs(f"flow = {name} and status = completed")).rows) < count:
                await asyncio.sleep(0.05)


def test_a_command_that_may_not_says_what_and_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_of_roles(tmp_path / "server", monkeypatch) as server:
        file = tmp_path / "quick.yaml"
        file.write_text("name: quick\nnodes: {a: {type: std::log, config: {message: hello}}}\n")
        said = ("--nats", server.as_user("client"), "--inbox", inbox("client"))
        assert main(["deploy", str(file), *said]) == FAILED
        error = capsys.readouterr().err
    assert "NOT_AUTHORIZED" in error and "operator or coordinator" in error.replace("operator or trigger or ", "operator or ")
    assert PASSWORD not in error


def test_what_a_connection_logs_does_not_stand_between_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_of_roles(tmp_path / "server", monkeypatch) as server:
        structlog.reset_defaults()  # as in a process that nobody configured
        assert main(["dlq", "list", "-o", "json", "--nats", server.as_user("publisher"), "--inbox", inbox("publisher")]) == FAILED
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: NOT_AUTHORIZED")


def test_who_comes_before_the_first_coordinator_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with await connected(server, "worker") as connection:
            with pytest.raises(Denied, match="start a coordinator first"):
                await joined(connection)

    with server_of_roles(tmp_path / "server", monkeypatch) as server:
        run(test())


def test_metrics_and_the_doctor_may_ask_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_of_roles(tmp_path / "server", monkeypatch) as server:

        async def deployed() -> None:
            async with await connected(server, "coordinator") as connection:
                await ensure(connection, Topology(partitions=2, store_bytes=1 << 30))

        async def measured() -> None:
            async with await connected(server, "coordinator") as connection:
                await Backlog(connection).refresh()

        run(deployed())
        run(measured())
        assert server.refusals() == []
        (tmp_path / "data").mkdir()
        said = ("--nats", server.as_user("operator"), "--inbox", inbox("operator"), "--data", str(tmp_path / "data"))
        for command in (["doctor"], ["doctor", "--accept-loss"]):
            assert main([*command, *said]) == FAILED, "there is no coordinator"
            told = capsys.readouterr().out
            assert "start: jetfleet coordinator" in told and "NOT_AUTHORIZED" not in told
        assert server.refusals() == []


def test_a_worker_of_one_queue_works_without_leave_for_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for tasks near its own arena, whose id was not known when the users were written."""

    async def test() -> None:
        with server_of_roles(tmp_path / "server", monkeypatch, scope=Scope(queues=["gpu"], partitions=2)) as server:
            async with await connected(server, "coordinator") as connection, await connected(server, "coordinator") as control:
                coordinator = Coordinator(connection, control, CoordinatorSettings(topology=Topology(partitions=2, store_bytes=1 << 30)))
                await coordinator.start()
                try:
                    await _one_run_on_the_queue(server, tmp_path)
                finally:
                    await coordinator.stop()

    run(test(), 60)


async def _one_run_on_the_queue(server: SecuredServer, folder: Path) -> None:
    registry = Registry()
    registry.load(NODES)
    settings = WorkerSettings(data=folder / "worker", processes=1, queues=("gpu",))
    operator = await Client.connect(server.as_user("operator"), credentials=credentials("operator"))
    async with operator, await connected(server, "worker") as connection:
        worker = Worker(connection, settings, registry)
        await worker.start()
        try:
            await operator.deploy(flow("seen", {"a": {"type": "f.echo", "queue": "gpu"}}), nodes=[NODES])
            handle = await operator.start("seen", {"n": 1})
            assert (await handle.result(20)).output == {"n": 1}
            assert worker.host is None
            refused = {line.rpartition("Subject ")[2] for line in server.refusals()}
            assert len(refused) == 1 and "queue-gpu@" in refused.pop()
        finally:
            await worker.stop(0)
