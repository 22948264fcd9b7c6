"""The reader as a process: killed while it reads, started again, stopped in order."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.read_model import ReaderAbsent, questions
from jetfleet.broker.topology import Topology
from jetfleet.schemas.cli import main

from .histories import PARTITIONS, Stage, archive, write_wal
from .running import run
from .test_read_model import reading, table

RUNS = 2_000
KILLS = 3


@contextmanager
def reader_process(url: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [Path(sysconfig.get_path("scripts")) / "jetfleet", "reader", "--nats", url, "--data", str(folder), *options]
    with open(folder.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def rows(connection: Connection) -> int:
    """How many rows the reader has written since it started; -1 while there is none."""
    try:
        facts = await questions.reader(connection)
    except ReaderAbsent:
        return -1
    return int(facts["rows"])


async def wait_for(connection: Connection, count: int) -> int:
    while (found := await rows(connection)) < count:
        await asyncio.sleep(0.005)
    return found


def test_a_reader_that_is_killed_while_it_reads_goes_on_exactly(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with await Connection.open(fresh_url, name="tests") as connection:
            await ensure(connection, Topology(partitions=PARTITIONS))
            stage = Stage()
            runs = [stage.play(str(number), error="bad" if number % 7 == 0 else None) for number in range(RUNS)]
            for start in range(0, len(runs), 250):
                await write_wal(connection, *(each.records[0] for each in runs[start : start + 250]))
            share = RUNS // (KILLS + 1)
            for kill in range(KILLS):
                with reader_process(fresh_url, tmp_path / "killed") as process:
                    await wait_for(connection, 0)
                    archiving = asyncio.create_task(archive(connection, runs[kill * share : (kill + 1) * share], batch=5))
                    await wait_for(connection, 1)
                    process.send_signal(signal.SIGKILL)
                    await archiving
            await archive(connection, runs[KILLS * share :], batch=5)
            async with reading(connection, tmp_path / "killed"):
                pass
            async with reading(connection, tmp_path / "fresh"):
                pass
        assert table(tmp_path / "killed") == table(tmp_path / "fresh")
        assert len(table(tmp_path / "fresh")) == 2 * len(runs)

    run(test())


def test_the_command_ends_cleanly_when_asked_and_serves_while_it_builds_the_file_anew(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with await Connection.open(fresh_url, name="tests") as connection:
            await ensure(connection, Topology(partitions=PARTITIONS))
            await archive(connection, [Stage().play("7")])
            folder = tmp_path / "data"
            for options in ((), ("--rebuild",)):
                with reader_process(fresh_url, folder, *options) as process:
                    await wait_for(connection, 0)
                    assert len((await questions.runs(connection)).rows) <= 1
                    assert await wait_for(connection, 1) > 0
                    process.terminate()
                    assert await asyncio.to_thread(process.wait, 10) == 0
                assert "Traceback" not in folder.with_suffix(".log").read_text()

    run(test())


def test_the_command_says_why_it_cannot_start(fresh_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["reader", "--nats", fresh_url, "--data", str(tmp_path / "file")]) == 1
    err = capfd.readouterr().err
    assert "READ_MODEL_UNWRITABLE" in err and "--data" in err and "Traceback" not in err
