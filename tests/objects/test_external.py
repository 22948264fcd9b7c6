"""Chunks outside of NATS: in a folder here, which goes through the same library as a bucket."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from jetfleet.broker.objects.chunks import Place
from jetfleet.broker.objects.external_chunks import CHUNK_BYTES, ExternalChunks
from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.opening import open_chunks
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.objects.stream_chunks import StreamChunks
from jetfleet.schemas.errors import UsageError
from jetfleet.schemas.payload_errors import ObjectsUnavailable, PayloadCorrupt, PayloadLost

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from .around import deployed, got, some_bytes, some_chunks, stored
from .test_encryption import SECRET, keys


async def everything(runs: set[str]) -> set[str]:
    return runs


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_chunks_go_into_the_folder_and_come_back(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection, open_chunks(f"file://{tmp_path}/objects", connection))
            for size in (0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1):
                body = some_bytes(size, seed=size)
                assert await got(store, await store.put(body, run="r")) == body
            assert len(files(tmp_path / "objects")) == 5
            assert await stored(connection, "chunk") == []

    run(test())


def test_encrypted_chunks_lie_there_encrypted(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection, open_chunks(f"file://{tmp_path}/objects", connection), keys(one=SECRET))
            digest = await store.put(memoryview(b"a secret word"), run="r", key="one")
            assert await got(store, digest, "one") == b"a secret word"
            assert all(b"secret" not in path.read_bytes() for path in files(tmp_path / "objects"))

    run(test())


def test_lost_and_wrong_files_are_errors_and_the_next_put_repairs_them(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection, ExternalChunks(f"file://{tmp_path}/objects")), some_bytes(1_000)
            digest = await store.put(body, run="r")
            (path,) = files(tmp_path / "objects")
            path.write_bytes(bytes(1_000))
            with pytest.raises(PayloadCorrupt):
                await got(store, digest)
            await store.put(body, run="r")
            path.unlink()
            with pytest.raises(PayloadLost, match="chunk 0"):
                await got(store, digest)
            await store.put(body, run="r")
            assert await got(store, digest) == body

    run(test())


def test_objects_in_the_stream_stay_readable_and_are_not_stored_twice(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            digest = await ObjectStore(connection).put(some_chunks(2), run="r")
            store = ObjectStore(connection, ExternalChunks(f"file://{tmp_path}/objects"))
            assert await got(store, digest) == some_chunks(2)
            await store.put(some_chunks(2), run="s")
            assert files(tmp_path / "objects") == []

    run(test())


def test_who_does_not_know_the_folder_is_told_what_to_set(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            digest = await ObjectStore(connection, ExternalChunks(f"file://{tmp_path}/objects")).put(some_chunks(1), run="r")
            with pytest.raises(UsageError, match="JETFLEET_OBJECTS"):
                await got(ObjectStore(connection), digest)

    run(test())


def test_nothing_is_left_in_the_folder_when_runs_are_over(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            chunks = ExternalChunks(f"file://{tmp_path}/objects")
            for n in range(20):
                await ObjectStore(connection, chunks).put(some_bytes(100, seed=n), run=f"r{n}")
            janitor = Janitor(connection, chunks, grace_s=0)
            await janitor.sweep(everything)
            assert (await janitor.sweep(everything)).deleted == 20
            assert files(tmp_path / "objects") == []
            assert await stored(connection, "meta") == await stored(connection, "pin") == []

    run(test())


def test_remains_of_an_upload_go_after_an_hour_beside_an_object_of_the_same_name(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            chunks = ExternalChunks(f"file://{tmp_path}/objects")
            store, now_s = ObjectStore(connection, chunks), [0.0]
            digest = await store.put(some_bytes(100), run="r")
            await chunks.put(Place(digest, "e" * 16), 0, b"remains")
            await chunks.put(Place("ab" * 32, "e" * 16), 0, b"remains")
            janitor = Janitor(connection, chunks, clock=lambda: now_s[0])
            changed_s = max(path.stat().st_mtime for path in files(tmp_path / "objects"))

            async def nobody(runs: set[str]) -> set[str]:
                return set()

            now_s[0] = changed_s + 3_000
            assert (await janitor.sweep(nobody)).strays == 0
            now_s[0] = changed_s + 3_700
            assert (await janitor.sweep(nobody)).strays == 2
            assert len(files(tmp_path / "objects")) == 1
            assert await got(store, digest) == some_bytes(100)

    run(test())


def test_files_of_others_in_the_folder_are_never_taken_for_remains(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            others = [tmp_path / "objects" / name for name in ("photos/2024/a.jpg", f"{'ab' * 32}/{'e' * 16}/notes", "a/b/0", "c")]
            for path in others:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"dear to somebody")
            chunks = ExternalChunks(f"file://{tmp_path}/objects")
            await chunks.put(Place("ab" * 32, "e" * 16), 0, b"remains")
            later_s = max(path.stat().st_mtime for path in files(tmp_path / "objects")) + 3_700
            assert (await Janitor(connection, chunks, clock=lambda: later_s).sweep(everything)).strays == 1
            assert files(tmp_path / "objects") == sorted(others)

    run(test())


def test_a_folder_that_is_made_for_chunks_is_closed_to_others(tmp_path: Path) -> None:
    ExternalChunks(f"file://{tmp_path}/one/with%20space")
    assert (tmp_path / "one" / "with space").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_takes_nothing_is_a_typed_error(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection, ExternalChunks(f"file://{tmp_path}/objects"))
            os.rmdir(tmp_path / "objects")
            (tmp_path / "objects").write_text("no folder")
            with pytest.raises(ObjectsUnavailable, match="check JETFLEET_OBJECTS") as unavailable:
                await store.put(some_bytes(10), run="r")
            assert unavailable.value.retryable and "\n" not in str(unavailable.value)

    run(test())


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/path", "s3://"])
def test_a_url_that_is_none_is_refused_with_what_one_looks_like(url: str) -> None:
    with pytest.raises(UsageError, match="s3://bucket/prefix or file:///path"):
        ExternalChunks(url)


def test_passwords_in_a_url_are_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        ExternalChunks("ftp://user:secret@host/path?token=secret")
    assert "secret" not in str(refused.value)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"pip install 'jetfleet\[objects\]'"):
        ExternalChunks("s3://bucket/prefix")


def test_without_a_url_chunks_go_into_the_stream(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            assert isinstance(open_chunks(None, connection), StreamChunks)
            assert isinstance(open_chunks("", connection), StreamChunks)

    run(test())
