"""A fleet to be measured: server, coordinators and workers as they are started by hand, each a process, with nothing left behind.

The server, or each of a cluster's three, writes to disk before it acknowledges (`--sync always`). The load comes from this process, by
jetfleet's own client.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jetfleet.broker.api import Client

from .cluster import Cluster
from .load import Load, drive
from .processes import ROOT, BenchmarkFailed, Process, Processes, free_port, listening, program

Result = TypeVar("Result")

NODES = "benchmarks/nodes.py"
READY_S, LOAD_S = 60, 300
UNLIMITED = {"max_concurrent_executions": 10_000_000}
"""The settings of a flow that no admission holds back: the load alone decides how many runs are open."""


class Fleet:
    """A running fleet. An async context manager; `client` is connected to it.

    `clustered`: on `cluster` instead of one server. `host`: the address that the one server listens on.
    """

    def __init__(
        self,
        *,
        coordinators: int = 1,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        clustered: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self._processes = Processes("fleet")
        self._environment = dict(environment or {})
        self._planned = {"coordinator": coordinators, "worker": workers}
        self._started: dict[str, int] = {}
        self._clustered = clustered
        self._host = host
        self.port = free_port()
        self.url = f"nats://{host}:{self.port}"

    async def __aenter__(self) -> Fleet:
        self._processes.__enter__()
        try:
            await self.watch_over(self._start(), READY_S)
        except BaseException:
            self._processes.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.client.close()
        finally:
            self._processes.__exit__(None, None, None)

    @property
    def folder(self) -> Path:
        """For files of the measurement; it is gone when the fleet is."""
        return self._processes.folder

    async def _start(self) -> None:
        await (self._start_cluster() if self._clustered else self._start_server())
        self.client = await Client.connect(self.url, name="benchmark")
        self.coordinators = [self.start_coordinator() for _ in range(self._planned["coordinator"])]
        self.workers = [self.start_worker() for _ in range(self._planned["worker"])]

    async def _start_server(self) -> None:
        data = str(self.folder / "server")
        self.server = self._processes.start(
            "server", program("jetfleet"), "server", "--data", data, "--host", self._host, "--port", str(self.port), "--sync", "always"
        )
        await listening(self.port, self._host)

    async def _start_cluster(self) -> None:
        self.cluster = Cluster(self._processes)
        await self.cluster.start()
        self.url = self.cluster.url

    # --- processes

    def start_coordinator(self) -> Process:
        return self._start_one("coordinator", "--data", str(self.folder / "coordinator"))

    def start_worker(self, *options: str, nodes: str = NODES, on: Sequence[str] = ()) -> Process:
        """`on`: the beginning of a command line that starts it somewhere else."""
        return self._start_one("worker", "--nodes", nodes, "--data", str(self.folder / "worker"), *options, on=on)

    def _start_one(self, role: str, *arguments: str, on: Sequence[str] = ()) -> Process:
        number = self._started[role] = self._started.get(role, 0) + 1
        return self.start(f"{role}-{number}", *on, program("jetfleet"), role, *arguments)

    def start(self, name: str, *command: str) -> Process:
        """A process of the measurement's own, which finds the server in its environment as the others do."""
        return self._processes.start(name, *command, environment={"JETFLEET_NATS": self.url, **self._environment})

    def kill(self, process: Process) -> None:
        """`kill -9`."""
        self._processes.kill(process)

    @property
    def nats_server_pid(self) -> int | None:
        """Of the server proper, which `jetfleet server` looks after; None while there is none."""
        return self.server.children().get("nats-server")

    def rss_mib(self) -> dict[str, float]:
        return self._processes.rss_mib()

    def cpu_s(self) -> dict[str, float]:
        """Processor time of each process so far, and of this one as `load`."""
        return {**self._processes.cpu_s(), "load": time.process_time()}

    async def watch_over(self, work: Awaitable[Result], deadline_s: float) -> Result:
        """The work's result. Raises BenchmarkFailed as soon as a process dies that nobody killed, or when the time is up."""
        return await self._processes.watch_over(work, deadline_s)

    # --- flows

    async def deploy(self, flow: Mapping[str, Any], nodes: str = NODES) -> None:
        await self.client.deploy(flow, nodes=[str(ROOT / nodes)])

    async def load(self, flow: str, payload: Any, nodes_per_run: int, runs: int, concurrency: int) -> Load:
        """Start runs and await their results. Raises BenchmarkFailed for one that does not complete."""

        async def one(_: int) -> None:
            result = await self.client.run(flow, payload)
            if not result.completed:
                raise BenchmarkFailed(f"run {result.run_id} of the flow {flow} is {result.status}: {result.error}")

        return await self.watch_over(drive(one, runs, concurrency, nodes_per_run), LOAD_S)


def chain(name: str, *types: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A flow of nodes n0, n1, … one behind the other. `config` by the nodes' ids."""
    nodes = {f"n{number}": {"type": type, "config": (config or {}).get(f"n{number}")} for number, type in enumerate(types)}
    edges = [{"from": f"n{number}", "to": f"n{number + 1}"} for number in range(len(types) - 1)]
    return {"name": name, "nodes": nodes, "edges": edges, "settings": UNLIMITED}
