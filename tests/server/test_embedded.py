"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import nats
import pytest
import structlog
from nats.js import JetStreamContext

from jetfleet.broker.fleet.process import start_ticks
from jetfleet.broker.server import Cluster, EmbeddedServer, ServerSettings
from jetfleet.broker.server.errors import DataInUse, DataNotWritable, DiskTooSmall, PortInUse, ServerDiffers, ServerFailed
from jetfleet.broker.server.folder import Folder
from jetfleet.broker.server.monitor import ask, check_limits
from jetfleet.broker.server.ports import free_port

from ..fleet.running import run

MIB = 1 << 20


def settings(data: Path, **more: object) -> ServerSettings:
    return replace(ServerSettings(data=data, port=0), **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def jetstream(url: str, timeout_s: float = 5) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(url.split(","), reconnect_time_wait=0.01)
    yield client.jetstream(timeout=timeout_s)
    await client.close()


async def kept(stream: JetStreamContext) -> int:
    return (await stream.stream_info("KEPT")).state.messages


def is_gone(pid: int) -> bool:
    return start_ticks(pid) is None


def test_a_server_takes_work_when_it_is_started_and_is_gone_when_it_is_stopped(tmp_path: Path) -> None:
    async def scenario() -> int:
        async with EmbeddedServer(settings(tmp_path)) as server:
            async with jetstream(server.url) as stream:
                await stream.add_stream(name="KEPT", subjects=["kept"])
                await stream.publish("kept", b"1")
            return server.pid

    assert is_gone(run(scenario()))
    assert (tmp_path / "jetstream").is_dir()


def test_it_runs_as_it_was_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        told = settings(tmp_path, sync="2s", store_bytes=300 * MIB, memory_bytes=64 * MIB, payload_bytes=2 * MIB)
        async with EmbeddedServer(told) as server:
            said = await ask(server.monitor_url, "/varz")
            store = said["jetstream"]["config"]
            assert (said["max_payload"], store["max_storage"], store["max_memory"]) == (2 * MIB, 300 * MIB, 64 * MIB)
            assert (store["sync_interval"], store.get("sync_always", False)) == (2_000_000_000, False)
            with pytest.raises(ServerDiffers, match="max_file_store is 314572800, not 1; sync_interval: always is False, not True"):
                await check_limits(server.monitor_url, replace(told, sync="always"), store_bytes=1)

    run(scenario())


def test_a_folder_with_a_hostile_name_is_used_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" $HOME' / "back\\slash # {[\n数据"

    async def scenario() -> None:
        async with EmbeddedServer(settings(folder)), asyncio.timeout(5):
            pass

    run(scenario())
    assert (folder / "jetstream").is_dir()
    assert (folder.stat().st_mode & 0o777, (folder / "server.conf").stat().st_mode & 0o777) == (0o700, 0o600)


def test_started_twice_is_started_once_and_stopped_twice_is_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EmbeddedServer(settings(tmp_path))
        await server.stop()
        await server.start()
        pid = server.pid
        await server.start()
        assert server.pid == pid
        await server.stop()
        await server.stop()
        await server.wait()

    run(scenario())


def test_after_a_restart_it_is_at_the_same_place_with_the_same_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path)) as server:
            url, pid = server.url, server.pid
            async with jetstream(url) as stream:
                await stream.add_stream(name="KEPT", subjects=["kept"])
                await stream.publish("kept", b"1")
                await server.restart()
                assert (server.url, server.pid != pid, is_gone(pid)) == (url, True, True)
                assert await kept(stream) == 1

    run(scenario())


def test_who_dies_is_started_again_and_has_kept_what_it_acknowledged(tmp_path: Path) -> None:
    exits: list[int] = []

    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path), on_exit=exits.append) as server, jetstream(server.url) as stream:
            await stream.add_stream(name="KEPT", subjects=["kept"])
            for _ in range(3):
                await asyncio.gather(*(stream.publish("kept", b"1") for _ in range(20)))
                server.kill()
                await server.wait_up()
            assert await kept(stream) == 60

    run(scenario())
    assert exits == [-signal.SIGKILL] * 3


def test_who_dies_too_often_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path, restarts=1)) as server:
            server.kill()
            await server.wait_up()
            server.kill()
            with pytest.raises(ServerFailed, match="died 2 times in quick succession") as failed:
                await server.wait()
            assert failed.value.last_lines[-1] == "Server is ready"
            with pytest.raises(ServerFailed):
                await server.wait_up()
            await server.restart()
            await server.wait_up()

    run(scenario())


def test_one_that_does_not_come_back_is_tried_until_it_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path, restarts=2)) as server:
            (tmp_path / "jetstream").rename(tmp_path / "moved")
            (tmp_path / "jetstream").write_text("no folder")
            server.kill()
            with pytest.raises(ServerFailed, match=r"(?s)died 3 times in quick succession .*not a directory"):
                await server.wait()

    run(scenario())


def test_a_server_that_is_not_there_does_not_answer() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerFailed, match=f"the server does not answer at {url}/varz"):
        run(ask(url, "/varz"))


def test_a_temporary_folder_goes_with_its_server() -> None:
    async def scenario() -> Path:
        async with EmbeddedServer(ServerSettings(port=0)) as server:
            assert (server.data / "jetstream").is_dir()
            return server.data

    assert not run(scenario()).exists()


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path)) as server:
            with pytest.raises(DataInUse, match=f"{tmp_path} is in use by process {os.getpid()}") as refused:
                await EmbeddedServer(settings(tmp_path)).start()
            assert refused.value.pid == os.getpid()
            async with jetstream(server.url) as stream:
                await stream.account_info()
        async with EmbeddedServer(settings(tmp_path)):
            pass

    run(scenario())


def test_a_port_in_use_is_named_and_the_folder_let_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.socket() as squatter:
            squatter.bind(("127.0.0.1", 0))
            squatter.listen()
            port = squatter.getsockname()[1]
            with pytest.raises(PortInUse, match=f"something else listens on 127.0.0.1:{port} already; .* --port"):
                await EmbeddedServer(settings(tmp_path, port=port)).start()
        async with EmbeddedServer(settings(tmp_path, port=port)) as server:
            assert server.url == f"nats://127.0.0.1:{port}"

    run(scenario())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("a file"), "it is no folder"),
        (lambda path: (path.parent / "up").symlink_to("/dev/null") or path.symlink_to("up/data"), "it is no folder"),
        (lambda path: (path / "lock").mkdir(parents=True), "Is a directory"),
        pytest.param(
            lambda path: path.mkdir(mode=0o500),
            "Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere"),
        ),
    ],
)
def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "data"
    make(path)
    with pytest.raises(DataNotWritable, match=f"{path} cannot hold the server's data: {reason}; choose another folder with --data"):
        run(EmbeddedServer(settings(path)).start())


def test_a_disk_without_room_for_a_deployment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 400 * MIB}))
    with pytest.raises(DiskTooSmall, match="has 400 MiB left, and 512 MiB are needed"):
        run(EmbeddedServer(settings(tmp_path)).start())


def test_the_store_may_take_what_the_disk_has_left_and_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_024 * MIB}))
    (tmp_path / "jetstream").mkdir()
    (tmp_path / "jetstream" / "block").write_bytes(bytes(4 * MIB))

    folder = Folder(tmp_path)
    assert folder.room_bytes(None) == (1_024 - 256 + 4) * MIB
    assert folder.room_bytes(300 * MIB) == 300 * MIB


def test_a_store_that_cannot_be_read_is_an_error_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jetfleet.broker.server.process._HEALTHY_WITHIN_S", 0.05)
    (tmp_path / "jetstream" / "elsewhere").mkdir(parents=True)
    with pytest.raises(ServerFailed, match="the server does not take work: JetStream account 'elsewhere' could not be resolved"):
        run(EmbeddedServer(settings(tmp_path)).start())


def test_what_the_server_says_when_it_does_not_start_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"(?s)ended before it was ready .*cannot assign requested address") as failed:
        run(EmbeddedServer(settings(tmp_path, host="203.0.113.7", port=4999)).start())
    assert failed.value.last_lines
    with pytest.raises(ServerFailed, match=r"nothing can listen on 203\.0\.113\.7: Cannot assign requested address"):
        run(EmbeddedServer(settings(tmp_path, host="203.0.113.7")).start())


def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        starting = asyncio.create_task(EmbeddedServer(settings(tmp_path)).start())
        while not (tmp_path / "server.conf").exists():
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        async with EmbeddedServer(settings(tmp_path)):
            pass

    run(scenario())


def test_its_log_is_in_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServer(settings(tmp_path, token="right")) as server:
            assert server.url.startswith("nats://right@127.0.0.1:")
            async with jetstream(server.url) as stream:
                await stream.account_info()
            with pytest.raises(nats.errors.Error):
                await nats.connect(f"nats://{server.address}", allow_reconnect=False, error_cb=silent)

    with structlog.testing.capture_logs() as lines:
        run(scenario())
    said = {(line["log_level"], line["event"].partition(" - ")[2] or line["event"]) for line in lines}
    assert ("debug", "Starting JetStream") in said
    assert any(level == "error" and "authentication error" in event for level, event in said), said


async def silent(error: Exception) -> None:
    """What a client does with errors that concern nobody."""


def test_it_warns_when_everybody_may_come_in(tmp_path: Path) -> None:
    async def scenario() -> str:
        async with EmbeddedServer(settings(tmp_path, host="0.0.0.0")) as server:
            return server.url

    with structlog.testing.capture_logs() as lines:
        assert run(scenario()).startswith("nats://127.0.0.1:")
    (warning,) = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert warning == "the server can be reached from other machines, and asks nobody who they are"


def test_three_of_them_are_a_cluster(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    routes = tuple(f"nats://127.0.0.1:{port}" for port in ports)

    def member(index: int) -> EmbeddedServer:
        cluster = Cluster(name="three", listen=f"127.0.0.1:{ports[index]}", routes=routes)
        return EmbeddedServer(settings(tmp_path / str(index), name=f"member-{index}", cluster=cluster, store_bytes=512 * MIB))

    async def scenario() -> None:
        async with member(0) as first, member(1), member(2), jetstream(first.url, timeout_s=0.2) as stream:
            await publish_when_elected(stream)
            async with jetstream(first.url) as patient:
                cluster = (await patient.stream_info("KEPT")).cluster
            assert cluster is not None and len(cluster.replicas or ()) == 2

    run(scenario(), timeout_s=60)


async def publish_when_elected(stream: JetStreamContext) -> None:
    """The members elect their leaders within a second or two, and nothing tells clients when."""
    while True:
        with contextlib.suppress(nats.errors.Error):
            await stream.add_stream(name="KEPT", subjects=["kept"], num_replicas=3)
            await stream.publish("kept", b"1")
            return
        await asyncio.sleep(0.02)
