"""Secrets stay secret: known values go through nodes that print, log and raise them, and then every byte that was written is searched."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.schemas.cli import main
from jetfleet.workers.secrets import Secrets

from ..fleet.fleets import LONG_S, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until
from ..fleet.worker_processes import CommandProcess, WorkerProcess

NODES = str(Path(__file__).with_name("canary_nodes.py"))
PLAIN = "canary-4f1e9c72d0"
ODD = 'c@nary/"8 8"+%\\é,\nsecond-line-55aa'
FILE = "from-a-file-77bb"
LEAKY = ("loop", "inline", "thread", "process", "cut", "http")


def spellings(value: str) -> Iterator[bytes]:
    """The value as a search should know it; whoever changes what is redacted has to think of these again."""
    for text in {value, *value.split("\n")}:
        data = text.encode()
        yield from (data, base64.b64encode(data).rstrip(b"="), base64.urlsafe_b64encode(data).rstrip(b"="))
        yield from (json.dumps(text)[1:-1].encode(), repr(text)[1:-1].encode())
        yield from (urllib.parse.quote(text, safe="").encode(), urllib.parse.quote_plus(text).encode())
    yield value[:10].encode()


NEEDLES = {needle for value in (PLAIN, ODD, FILE) for needle in spellings(value)}


def found_in(data: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in data]


def files_with_secrets(folder: Path) -> dict[str, list[bytes]]:
    every = {str(file.relative_to(folder)): found_in(file.read_bytes()) for file in folder.rglob("*") if file.is_file()}
    return {name: needles for name, needles in every.items() if needles}


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP server that answers with what it was asked."""
    asked = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(asked), asked))
    await writer.drain()
    writer.close()


def test_a_secret_that_nodes_let_slip_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_factory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, elsewhere = tmp_path / "written", tmp_path / "secrets"
    elsewhere.mkdir()
    (elsewhere / "canary_file").write_text(FILE + "\n")
    monkeypatch.setenv("JETFLEET_SECRET_CANARY_PLAIN", PLAIN)
    monkeypatch.setenv("JETFLEET_SECRET_CANARY_ODD", ODD)
    monkeypatch.setenv("JETFLEET_SECRETS", str(elsewhere))
    server = server_factory(data=folder / "server")

    async def test() -> list[str]:
        echo = await asyncio.start_server(echoing, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{echo.sockets[0].getsockname()[1]}/"
        reader = CommandProcess(folder / "reader.log", "reader", "--nats", server.url, "--data", str(folder / "reader"))
        worker = WorkerProcess(server.url, folder / "worker", nodes=NODES)
        try:
            async with echo, fleet(server.url, folder / "fleet", workers=0) as one:
                for name in LEAKY:
                    await one.client.deploy(flow(name, {"slip": {"type": f"canary.{name}", "retry": {"max_attempts": 1}}}), nodes=[NODES])
                runs = [await one.client.send(name, {"url": url}) for name in LEAKY]
                for summary in await one.log.ended(*runs, deadline_s=LONG_S):
                    assert summary.status == "failed"
                await until(lambda: all("an attempt failed" in (folder / "worker/worker.log").read_text() for _ in runs), "a log")
                await _until_listed(one.client, len(runs))
            assert worker.end() == 0
        finally:
            worker.kill_if_alive()
            reader.kill_if_alive()
        return runs

    runs = run(test(), 2 * LONG_S)
    said = [_said(capsys, server.url, command, run_) for run_ in runs for command in ("history", "show")]
    assert all(said) and not found_in("".join(said).encode())
    log = (folder / "worker/worker.log").read_text()
    for heard in ("printed ***", "to error ***", "logged ***", "told by a library: ***"):
        assert heard in log, "the nodes did not get as far as they should: nothing was proved"
    assert files_with_secrets(folder) == {}


async def _until_listed(client, count: int) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(20):
        while len((await client.runs("status = failed")).rows) < count:
            await asyncio.sleep(0.05)


def _said(capsys: pytest.CaptureFixture[str], url: str, command: str, run_id: str) -> str:
    capsys.readouterr()
    main(["runs", command, run_id, "--nats", url])
    said = capsys.readouterr()
    return said.out + said.err


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """A search that cannot fail would prove nothing."""
    for number, needle in enumerate(sorted(NEEDLES)):
        (tmp_path / str(number)).write_bytes(b"\x93\x01" + needle + b"\x00")
    assert len(files_with_secrets(tmp_path)) == len(NEEDLES)


@pytest.mark.parametrize("value", [PLAIN, ODD, FILE])
def test_a_secret_is_hidden_however_it_is_spelt(value: str) -> None:
    known = Secrets({"JETFLEET_SECRET_ONE": value, "JETFLEET_SECRETS": "/nowhere"})
    for needle in spellings(value):
        if len(needle) > len(value[:10].encode()):
            assert not found_in(known.redact(f"so: {needle.decode()}.").encode()), needle


def test_a_secret_of_a_few_characters_is_not_hidden_since_it_is_everywhere() -> None:
    known = Secrets({"JETFLEET_SECRET_PIN": "12", "JETFLEET_SECRET_LONGER": "12ab", "JETFLEET_SECRETS": "/nowhere"})
    assert known.redact("12 of 12ab, 2012") == "12 of ***, 2012"


def test_the_indentation_of_a_secret_of_several_lines_is_not_hidden() -> None:
    known = Secrets({"JETFLEET_SECRET_KEY": '{\n    "key": "4f-canary",\n    \n    },\n}', "JETFLEET_SECRETS": "/nowhere"})
    told = 'File "orders.py"\n    return {\n    },\n        "key": "4f-canary",'
    assert known.redact(told) == 'File "orders.py"\n    return {\n    },\n        ***'


def test_the_beginning_of_a_secret_at_a_cut_is_hidden() -> None:
    known = Secrets({"JETFLEET_SECRET_ONE": PLAIN, "JETFLEET_SECRETS": "/nowhere"})
    assert known.redact(f"{'x' * 490}canary-4f…") == f"{'x' * 490}***…"
    assert known.redact("a canary-4f") == "a canary-4f", "it was not cut"
    known = Secrets({"JETFLEET_SECRET_ONE": "abcdabcdabce", "JETFLEET_SECRETS": "/nowhere"})
    assert known.redact("so: abcdabcdabcd…") == "so: abcd***…", "as much as can be its beginning"
