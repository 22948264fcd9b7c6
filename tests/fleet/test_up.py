"""`jetfleet up`: comes up, deploys, tells what to type, starts again what dies, and leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jetfleet.broker import Client
from jetfleet.broker.fleet.process import start_ticks
from jetfleet.broker.server.ports import free_port
from jetfleet.workers.up.screen import example

from .commands import cli_of
from .fleets import NODES
from .running import run

FLOW = "name: {name}\nnodes: {{a: {{type: f.echo}}}}\n"
DEADLINE_S = 30


class Up:
    """`jetfleet up` as a process; what it says is in a file."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process, self._said = process, said

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def url(self) -> str:
        return re.findall(r"nats://[0-9.:]+", self.said)[0]

    def pids(self) -> dict[str, int]:
        """Of its processes, as its screen names them."""
        return {name: int(pid) for name, pid in re.findall(r"^(\S+) +pid (\d+)", self.said, re.MULTILINE)}

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}; it said:\n{self.said}"
            time.sleep(0.02)

    def up(self) -> None:
        self.until(lambda: "Ctrl-C stops everything." in self.said or self.process.poll() is not None, "the screen")
        assert self.process.poll() is None, self.said


@contextmanager
def up(folder: Path, *args: str) -> Iterator[Up]:
    said = folder / "said"
    command = [sys.executable, "-m", "jetfleet.schemas", "up", str(folder / "flows"), "--port", "0", "--partitions", "2", *args]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True)
    try:
        yield Up(process, said)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        process.wait(DEADLINE_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "orders.yaml").write_text(FLOW.format(name="orders"))
    return tmp_path


def runs(pid: int) -> bool:
    return start_ticks(pid) is not None


def outcome(url: str, flow: str) -> str:
    async def work() -> str:
        async with await Client.connect(url) as client:
            return (await client.run(flow, {"n": 1}, timeout_s=20)).status

    return run(work())


def test_it_runs_flows_keeps_its_promises_stops_in_order_and_names_flows_that_are_gone_by_the_next_time(folder: Path) -> None:
    (folder / "flows" / "returns.yaml").write_text(FLOW.format(name="returns"))
    (folder / "flows" / "broken.yaml").write_text("name: broken\nnodes: {a: {type: std::nothing}}\n")
    with up(folder, "--nodes", NODES, "--workers", "2", "--data", "data") as one:
        one.up()
        pids = one.pids()
        assert list(pids) == ["server", "coordinator", "reader", "worker-1", "worker-2"], "nobody is needed for its triggers"
        assert "broken.yaml" in one.said, "a flow that is not valid is reported, the others are deployed"
        assert "not in the folder" not in one.said
        assert f"jetfleet send orders '{{}}' --wait --nats {one.url}" in one.said
        assert f"nats pub events.orders '{{}}' -s {one.url}" in one.said
        assert outcome(one.url, "orders") == "completed"
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(DEADLINE_S) == 0, one.said
        assert not [name for name, pid in pids.items() if runs(pid)]
    assert (folder / "data" / "jetstream").is_dir()
    (folder / "flows" / "returns.yaml").unlink()
    with up(folder, "--nodes", NODES, "--data", "data") as one:
        one.up()
        assert "not in the folder (or not valid there): returns\n" in one.said
        assert "`jetfleet undeploy returns`" in one.said


def test_it_serves_triggers_says_where_they_listen_and_nothing_outlives_it_when_it_is_killed(folder: Path) -> None:
    port = free_port()
    (folder / "flows" / "orders.yaml").write_text(
        f"name: orders\ntriggers: [{{id: web, type: webhook, params: {{port: {port}, path: /orders}}}}, "
        f"{{id: shut, type: webhook, params: {{port: {port}, path: /shut, auth: {{type: bearer, secret: nobody_set_this}}}}}}, "
        f"{{id: here, type: webhook, params: {{host: 127.0.0.1, port: {free_port()}, path: /here}}}}, "
        "{id: nightly, type: cron, params: {schedule: 0 2 * * *}}]\n"
        "nodes: {a: {type: f.echo}}\nedges: [{from: web, to: a}, {from: shut, to: a}, {from: here, to: a}, {from: nightly, to: a}]\n"
    )
    with up(folder, "--nodes", NODES, "--ephemeral") as one:
        one.up()
        assert f"POST http://0.0.0.0:{port}/orders → web  (on every address, without auth)" in one.said
        assert re.search(r"POST http://127.0.0.1:\d+/here → here$", one.said, re.MULTILINE)
        assert re.search(r"failing: shut \(webhook\): SOURCE_BROKEN: SECRET_MISSING.*JETFLEET_SECRET_NOBODY_SET_THIS", one.said)
        assert "/shut" not in one.said
        assert "trigger" in one.pids()
        assert re.search(r"0 2 \* \* \* UTC → nightly, next 20", one.said)
        one.until(
            lambda: served(one.url) == dict.fromkeys(("web", "shut", "here"), "trigger") | {"nightly": "coordinator"}, "who serves them"
        )
        pids = one.pids()
        data = re.findall(r"--data (\S+)", Path(f"/proc/{pids['reader']}/cmdline").read_text().replace("\0", " "))[0]
        one.process.kill()
        one.until(lambda: not any(map(runs, pids.values())), "the end of all")
        one.until(lambda: not Path(data).exists(), "the end of its data")


def served(url: str) -> dict[str, str]:
    """By trigger the role of who serves it."""

    async def work() -> dict[str, str]:
        async with await Client.connect(url) as client:
            views = await client.triggers()
        return {view.id: member.partition("-")[0] for view in views for member in view.served}

    return run(work())


def test_a_process_that_dies_is_started_again_and_flows_are_deployed_again_as_they_change(folder: Path) -> None:
    with up(folder, "--nodes", NODES, "--ephemeral", "--watch") as one:
        one.up()
        os.kill(one.pids()["worker"], signal.SIGKILL)
        one.until(lambda: "ended unasked" in one.said, "the news")
        assert outcome(one.url, "orders") == "completed"
        hook = f"triggers: [{{id: web, type: webhook, params: {{port: {free_port()}}}}}]\n"
        (folder / "flows" / "more.yaml").write_text(FLOW.format(name="more") + hook + "edges: [{from: web, to: a}]\n")
        one.until(lambda: "deployed: more" in one.said, "the new flow")
        assert outcome(one.url, "more") == "completed"
        one.until(lambda: served(one.url) == {"web": "trigger"}, "the process for triggers, which is needed now")


def test_what_cannot_work_is_said_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    for args, says in (
        (["flows", "--nodes", "nothing.py"], "error: USAGE"),
        (["nowhere"], "error: USAGE"),
        (["flows", "--data", "/proc/nowhere"], "error: DATA_NOT_WRITABLE"),
    ):
        said = cli_of(capsys)("up", *args, "--port", "0")
        assert said.code in (1, 2), said.err
        assert says in said.err


@pytest.mark.parametrize(
    ("inputs", "event"),
    [
        (None, {}),
        ({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer", "minimum": 3}, "x": {}}}, {"id": 3}),
        ({"required": ["a"], "properties": {"a": {"enum": ["red"]}}}, {"a": "red"}),
        ({"type": "array"}, []),
        (True, {}),
    ],
)
def test_the_example_event_fits_simple_inputs(inputs: object, event: object) -> None:
    class Plan:
        pass

    plan = Plan()
    plan.inputs = inputs  # type: ignore[attr-defined]
    assert example(plan) == event  # type: ignore[arg-type]


def test_the_bare_client_of_the_examples_publishes_and_is_told_of_refusals(fresh_url: str) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("bare_client", Path(__file__).parents[2] / "examples" / "bare_client.py")
    assert spec is not None and spec.loader is not None
    bare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bare)

    async def deploy() -> None:
        async with await Client.connect(fresh_url):
            pass

    run(deploy())
    assert bare.publish(fresh_url, "events.orders.api", [b'{"n": %d}' % n for n in range(1_200)]) == 1_200

    async def stored() -> dict[str, int]:
        async with await Client.connect(fresh_url) as client:
            return await client.waiting_events()

    assert asyncio.run(stored()) == {"events.orders.api": 1_200}
    with pytest.raises(RuntimeError):
        bare.publish(fresh_url, "events", [b"{}"])
