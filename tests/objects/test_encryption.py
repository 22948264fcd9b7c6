"""Encrypted objects: what leaves the host says nothing about what it is, and only who has the key gets it back."""

from __future__ import annotations

import base64

import pytest

from jetfleet.broker.objects.encryption import Keys, object_name
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import UsageError
from jetfleet.schemas.payload_errors import KeyMissing, PayloadCorrupt, PayloadLost

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from .around import CountedChunks, deployed, got, some_chunks, stored

SECRET, OTHER = b"s" * 32, b"o" * 32


def keys(**secrets: bytes) -> Keys:
    return Keys({f"JETFLEET_PAYLOAD_KEY_{name.upper()}": base64.b64encode(secret).decode() for name, secret in secrets.items()})


def test_encrypted_bytes_come_back_and_are_not_in_the_stream(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection, keys=keys(my_key=SECRET)), memoryview(b"a secret word " * 100_000)
            digest = await store.put(body, run="r", key="my-key")
            assert await got(store, digest, "my-key") == body
            assert await store.size(digest, key="my-key") == len(body)
            kept = [each.data async for each in connection.streams.read(subjects.OBJECTS)]
            assert sum(map(len, kept)) > len(body)
            assert not any(b"secret word" in data for data in kept)

    run(test())


def test_the_same_bytes_in_the_clear_and_under_two_keys_are_three_objects(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection, keys=keys(one=SECRET, two=SECRET)), some_chunks(1.5)
            digests = {await store.put(body, run="r", key=key) for key in ("", "one", "two")}
            assert len(digests) == 1
            assert len(await stored(connection, "meta")) == 3
            assert len(await stored(connection, "pin")) == 1
            bodies = [each.data async for each in connection.streams.read(subjects.OBJECTS, subject="object.chunk.*.0")]
            assert len(set(bodies)) == 3
            for key in ("", "one", "two"):
                assert await got(store, *digests, key) == body

    run(test())


def test_encrypted_bytes_are_stored_once_too(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            again = CountedChunks(connection)
            for chunks in (None, again):
                digest = await ObjectStore(connection, chunks, keys(one=SECRET)).put(some_chunks(2.5), run="r", key="one")
            assert again.numbers == []
            assert await got(ObjectStore(connection, keys=keys(one=SECRET)), digest, "one") == some_chunks(2.5)

    run(test())


def test_without_the_key_or_with_another_one_nothing_is_read_and_nothing_broken(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection, keys=keys(one=SECRET)), some_chunks(2.5)
            digest = await store.put(body, run="r", key="one")
            with pytest.raises(KeyMissing, match="JETFLEET_PAYLOAD_KEY_ONE"):
                await got(ObjectStore(connection, keys=keys()), digest, "one")
            with pytest.raises(KeyMissing, match="not the one"):
                await got(ObjectStore(connection, keys=keys(one=OTHER)), digest, "one")
            with pytest.raises(KeyMissing, match="new name"):
                await ObjectStore(connection, keys=keys(one=OTHER)).put(body, run="r", key="one")
            with pytest.raises(PayloadLost):
                await got(store, digest)
            assert await got(store, digest, "one") == body

    run(test())


def test_chunks_that_were_changed_or_exchanged_are_noticed_and_repaired(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection, keys=keys(one=SECRET)), some_chunks(3)
            digest = await store.put(body, run="r", key="one")
            first, second = (subjects.object_chunk(object_name(digest, "one"), n) for n in (0, 1))
            chunk = await connection.streams.last(subjects.OBJECTS, second)
            assert chunk is not None
            for wrong in (chunk.data, chunk.data[:-1] + b"\x00", b""):
                await connection.publisher.publish(first, wrong)
                with pytest.raises(PayloadCorrupt, match="chunk 0"):
                    await got(store, digest, "one")
                await store.put(body, run="r", key="one")
                assert await got(store, digest, "one") == body

    run(test())


@pytest.mark.parametrize("text", ["", "short", "é", base64.b64encode(b"s" * 31).decode(), base64.b64encode(b"s" * 33).decode()])
def test_what_is_no_key_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(KeyMissing, match="32 bytes in base64"):
        Keys({"JETFLEET_PAYLOAD_KEY_ONE": text}).secret("one")
    with pytest.raises(KeyMissing, match="no name of a key"):
        Keys({}).secret("a.b")


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(UsageError, match=r"pip install 'jetfleet\[encryption\]'"):
        keys(one=SECRET).cipher("one", "ab" * 32, 1, 1)
