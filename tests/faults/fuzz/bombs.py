"""Bombs: small inputs that would become large, deep or endless where nobody bounds them. Each is named, and says which target reads it.

`refused` says that nothing else will do; of the others it is enough that they come to an end: a document with a large number in it is fine.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from jetfleet.schemas import messages
from jetfleet.schemas.payload import encode
from jetfleet.schemas.ref import Coded

from .wire import HEAD, RECORDS, SEPARATOR

LEVELS = 500_000
DEEP_MSGPACK = b"\x91" * LEVELS + b"\xc0"
DEEP_JSON = b"[" * LEVELS + b"]" * LEVELS
DEEP_MAP = b'{"a":' * LEVELS + b"1" + b"}" * LEVELS
HUGE = {
    "array": b"\xdd\xff\xff\xff\xff",
    "map": b"\xdf\xff\xff\xff\xff",
    "bytes": b"\xc6\xff\xff\xff\xff",
    "text": b"\xdb\xff\xff\xff\xff",
    "extension": b"\xc9\xff\xff\xff\xff\x01",
}
TIMESTAMPS = (b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff\x00\x00\x00\x00" + b"\x7f" + b"\xff" * 7)
DIGITS = b"9" * 1_000_000


@dataclass(frozen=True)
class Bomb:
    name: str
    target: str
    data: Callable[[], bytes]
    refused: bool = True


def _laughs() -> bytes:
    """Each line is nine of the one before: a few hundred bytes that mean gigabytes."""
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)]
    return "\n".join(["name: orders", 'a: &a ["lol"]', *lines]).encode()


def _zip(name: str, size: int, declared: int | None = None) -> bytes:
    """A file of zeros, a thousandth of its size when packed; `declared`: the size that its head pretends to."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as made, made.open(name, "w", force_zip64=True) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    data = into.getvalue()
    return data if declared is None else data.replace(size.to_bytes(8, "little"), declared.to_bytes(8, "little"))


def _on_wire() -> Iterator[Bomb]:
    batch, task = bytes([0x91]), messages.encode(RECORDS[1])
    places = {
        "record": b"",
        "batch of records": batch,
        "effect": b"",
        "message Task": b"",
        "message DeadLetter": b"",
        "notices of ended runs": batch,
        "question takes": batch,
        "payload": b"",
        "payload, looked into": b"",
        "payload, as a list": b"",
        "read model, WAL": batch,
        "read model, HISTORY": batch,
        "segment of snapshots": b"",
        "state in a snapshot": b"",
    }
    for target, before in places.items():
        lenient = target in ("payload, looked into", "notices of ended runs", "read model, WAL", "read model, HISTORY", "batch of records")
        yield Bomb(f"deep, {target}", target, lambda before=before: before + DEEP_MSGPACK, not lenient)  # type: ignore[misc]
        for what, head in HUGE.items():
            yield Bomb(f"4 GiB {what}, {target}", target, lambda data=before + head: data, False)  # type: ignore[misc]
        for number, stamp in enumerate(TIMESTAMPS):
            yield Bomb(f"timestamp {number}, {target}", target, lambda data=before + stamp: data, False)  # type: ignore[misc]
    yield Bomb("a field that is deep", "record", lambda: bytes([task[0] + 1]) + task[1:] + DEEP_MSGPACK)


def _of_documents() -> Iterator[Bomb]:
    for target in ("content of an event", "--input", "template", "condition", "schema", "manifest of an exported run", "flow"):
        yield Bomb(f"deep lists, {target}", target, lambda: DEEP_JSON)
        yield Bomb(f"deep maps, {target}", target, lambda: DEEP_MAP)
        yield Bomb(f"a million digits, {target}", target, lambda: b'{"a": ' + DIGITS + b"}", False)
        yield Bomb(f"a huge exponent, {target}", target, lambda: b'{"a": 1e999999999}', False)
    yield Bomb("deep, --set", "--set", lambda: b"a.b=" + DEEP_JSON)
    yield Bomb("deep, a request", "body of a request", lambda: b"content-type: application/json" + SEPARATOR + DEEP_JSON)
    yield Bomb("deep, a signal", "signal", lambda: HEAD.rstrip() + SEPARATOR + DEEP_MAP)
    yield Bomb("deep, high-water marks", "high-water marks", lambda: DEEP_JSON, False)
    yield Bomb(
        "packed body", "body of a request", lambda: b"content-type: application/json\r\ncontent-encoding: gzip" + SEPARATOR + b"\x1f\x8b"
    )
    yield Bomb("a form of many fields", "fields of a form", lambda: b"a=&" * 100_000, refused=False)
    yield Bomb(
        "a form of many parts",
        "form with files",
        lambda: b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n5\r\n' * 20_000 + b"--frontier--\r\n",
    )
    for charset in ("punycode", "idna", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "zlib", "base64", "rot13", "\x00"):
        head = f"NATS/1.0\r\nContent-Type: text/plain; charset={charset}".encode()
        yield Bomb(
            f"a megabyte in {charset!a}", "content of a message", lambda head=head: head + SEPARATOR + b"a-" + b"9" * 1_000_000, False
        )  # type: ignore[misc]


def _of_texts() -> Iterator[Bomb]:
    yield Bomb("aliases", "flow", _laughs)
    yield Bomb("an alias of itself", "flow", lambda: b"name: &a [*a]")
    yield Bomb("deep by indentation", "flow", lambda: b"".join(b" " * level + b"a:\n" for level in range(1_000)))
    yield Bomb("deep by dashes", "flow", lambda: b"- " * 100_000)
    yield Bomb("many keys", "flow", lambda: b"name: orders\n" + b"".join(b"k%d: 1\n" % number for number in range(15_000)))
    yield Bomb("the same key again", "flow", lambda: b"name: a\nname: b\nnodes: {}\n")
    yield Bomb("a tag that makes objects", "flow", lambda: b"name: !!python/object/apply:os.system ['true']\n")
    yield Bomb("a pattern that remembers", "condition", lambda: b'{"type": "matches", "field": "text", "pattern": "(a+)+\\\\1$"}')
    yield Bomb(
        "a pattern of patterns",
        "condition",
        lambda: b'{"type": "matches", "field": "text", "pattern": "((((a{1000}){1000}){1000}){1000})"}',
    )
    yield Bomb("a pattern in a schema", "schema", lambda: b'{"properties": {"text": {"pattern": "^(?=(a+)+b)(a|a)*$"}}}', False)
    yield Bomb("a schema of itself", "schema", lambda: b'{"$ref": "#"}', False)
    yield Bomb("powers", "condition", lambda: b'"n > 9**9**9"')
    yield Bomb("a deep filter", "filter of runs", lambda: b"(" * 2_000 + b"flow = a" + b")" * 2_000)
    yield Bomb("a filter that negates", "filter of runs", lambda: b"not " * 1_000 + b"flow = a")
    yield Bomb("a long filter", "filter of runs", lambda: b"flow = a or " * 100_000 + b"flow = a")
    for schedule in (
        "0 0 30 2 *",
        "0 0 1 1 * * 2000",
        "* * * * * 0-99999999",
        ",".join(["0-59"] * 2_000) + " * * * *",
        "*/1 " * 7,
        "0 0 * * fri#6",
        "0 0 29 2 * * 1900-999999",
    ):
        yield Bomb(f"cron {schedule[:30]}", "cron schedule", lambda schedule=schedule: schedule.encode(), False)  # type: ignore[misc]
    yield Bomb("a path without end", "path", lambda: b"a." * 100_000)
    yield Bomb("an index without end", "path", lambda: b"a[" + DIGITS + b"]")


def _of_files() -> Iterator[Bomb]:
    yield Bomb("zeros without end", "exported run", lambda: _zip("manifest.json", 96 << 20))
    yield Bomb("zeros that are said to be few", "exported run", lambda: _zip("manifest.json", 64 << 20, 1_000))
    yield Bomb("a path out of the folder", "exported run", lambda: _zip("../../etc/passwd", 1 << 20))
    for name, meta, body in (
        ("numpy", b"('<f8', (1099511627776, 1099511627776), False)", b""), ("numpy", b"('<f8', (99999999999,), False)", b"\0" * 8), ("numpy", b"('|O', (1,), False)", b"\0" * 8), ("numpy", b"(" * 5_000, b""),
        ("image", messages._encoder.encode(["RGB", 2**31, 2**31, b"", ""]), b""), ("list", b"\xff" * 16, b"\x90"),
        ("arrow", b"table", b"\xff" * 64), ("pickle", b"", b"cos\nsystem\n(S'true'\ntR."),
    ):  # fmt: skip
        yield Bomb(f"{name} {meta[:20]!r}", "coded value", partial(encode, Coded(name, meta, body)))  # type: ignore[misc]


BOMBS = (*_on_wire(), *_of_documents(), *_of_texts(), *_of_files())
