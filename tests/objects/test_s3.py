"""Chunks in a bucket, on a server that speaks S3: what a folder behind the same library cannot show."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from jetfleet.broker.objects.external_chunks import CHUNK_BYTES, ExternalChunks
from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.schemas.payload_errors import ObjectsUnavailable

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from ..fleet.trouble import until
from .around import deployed, got, some_bytes, stored
from .test_external import everything

pytestmark = [
    pytest.mark.part("S3 server"),
    pytest.mark.skipif(shutil.which("moto_server") is None, reason="no S3 server is installed: tests/conftest.py says how to get one"),
]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a bucket `values`."""
    port, log = free_port(), tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as out, subprocess.Popen(["moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            run(until(lambda: has_made_bucket(url), "the S3 server takes a bucket", 60), 70)
            yield url
        finally:
            server.kill()


def has_made_bucket(url: str) -> bool:
    try:
        with urlopen(Request(f"{url}/values", method="PUT"), timeout=5):
            return True
    except URLError:
        return False


@pytest.fixture(autouse=True)
def environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    for name, value in {**access, "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)


def test_values_go_into_the_bucket_come_back_and_go_with_their_runs(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            chunks = ExternalChunks("s3://values/some/prefix")
            store = ObjectStore(connection, chunks)
            for size in (0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1):
                body = some_bytes(size, seed=size)
                assert await got(store, await store.put(body, run="r")) == body
            assert len(await chunks.places()) == 3 and await stored(connection, "chunk") == []
            janitor = Janitor(connection, chunks, grace_s=0)
            await janitor.sweep(everything)
            assert (await janitor.sweep(everything)).deleted == 4
            assert await chunks.places() == set() and await stored(connection, "meta") == []

    run(test())


def test_a_bucket_that_is_not_there_has_lost_nothing(server: BackgroundServer, tmp_path: Path) -> None:
    """A host that was set up wrongly must not make others believe that values are gone."""

    async def test() -> None:
        async with deployed(server) as connection:
            right, wrong = (ObjectStore(connection, ExternalChunks(f"s3://{bucket}/same")) for bucket in ("values", "no-such-bucket"))
            body = some_bytes(1_000)
            digest = await right.put(body, run="r")
            with pytest.raises(ObjectsUnavailable, match="credentials"):
                await got(wrong, digest)
            with pytest.raises(ObjectsUnavailable):
                await wrong.put(some_bytes(10), run="r")
            assert await right.size(digest) == 1_000 and await got(right, digest) == body

    run(test())


def test_a_store_that_does_not_answer_is_an_error_that_is_tried_again(server: BackgroundServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    async def test() -> None:
        async with deployed(server) as connection:
            with pytest.raises(ObjectsUnavailable, match="s3://values") as unavailable:
                await ObjectStore(connection, ExternalChunks("s3://values/x")).put(some_bytes(10), run="r")
            assert unavailable.value.retryable

    run(test())
