"""The `.jetrun` file: what was written is what is read, and nothing that somebody has damaged or made up gets any further."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.definitions import BrokenDefinition, define
from jetfleet.broker.transfer import reading
from jetfleet.broker.transfer.manifest import DamagedFile
from jetfleet.broker.transfer.reading import JetrunFile
from jetfleet.broker.transfer.writing import JetrunWriter
from jetfleet.schemas import chain
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.source.document import read

from ..engine.driving import Driver
from .played import ORDER, encoded, summary

BODY = b"a large value" * 100
Files = dict[str, bytes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    flow = Flow.model_validate({"name": "f", **read(ORDER.encode()).value})
    definition = define(flow)
    driver = Driver(ORDER, {"n": 3}, trigger="api").work()
    writer = JetrunWriter(tmp_path / "one.jetrun")
    writer.add_run(definition, encoded(driver.journal), "completed", summary(driver))
    writer.add_payload(("host", "w-1", 1, 64), BODY)
    writer.finish(1)
    return tmp_path / "one.jetrun"


def files(file: Path) -> Files:
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(entries: Files) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return into.getvalue()


def with_manifest(entries: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    manifest = json.loads(entries["manifest.json"])
    change(manifest)
    return entries | {"manifest.json": json.dumps(manifest).encode()}


def journal(entries: Files) -> str:
    return next(name for name in entries if name.endswith("journal.msgpack"))


def test_what_was_written_is_what_is_read(file: Path) -> None:
    opened = JetrunFile(file)
    (run,) = opened.runs
    driver = Driver(ORDER, {"n": 3}, trigger="api").work()
    assert list(run.records) == driver.journal
    assert run.part.chain == chain.chain("r1", encoded(driver.journal)).hex()
    assert run.summary == summary(driver)
    assert opened.payload(opened.manifest.payloads[0]) == BODY
    opened.close()
    assert [path.name for path in file.parent.iterdir()] == ["one.jetrun"], "nothing half made stays"


def test_bytes_that_are_no_such_file_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], b"\0" * 1000, whole[:-30] + b"\0" * 30):
        with pytest.raises(DamagedFile):
            JetrunFile(damaged)


def test_a_byte_that_is_changed_anywhere_is_found_or_means_nothing(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    records = JetrunFile(bytes(whole)).runs[0].encoded
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        try:
            opened = JetrunFile(bytes(damaged))
            body = opened.payload(opened.manifest.payloads[0])
        except (DamagedFile, BrokenDefinition):
            continue
        assert (opened.runs[0].encoded, body) == (records, BODY), place


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "flows/../x.json", "runs/0/other", "payloads/" + "g" * 64, "MANIFEST.JSON", "a\\b"]
)
def test_names_that_lead_elsewhere_are_refused(file: Path, name: str) -> None:
    with pytest.raises(DamagedFile, match="no place"):
        JetrunFile(zipped(files(file) | {name: b"x"}))


def test_what_the_manifest_does_not_speak_of_is_refused(file: Path) -> None:
    with pytest.raises(DamagedFile, match="is not in the manifest"):
        JetrunFile(zipped(files(file) | {"payloads/" + "a" * 64: b"x"}))


def test_a_name_that_stands_there_twice_is_refused(file: Path) -> None:
    into = io.BytesIO(file.read_bytes())
    with zipfile.ZipFile(into, "a") as made, pytest.warns(UserWarning):
        made.writestr("manifest.json", b"{}")
    with pytest.raises(DamagedFile, match="twice"):
        JetrunFile(into.getvalue())


def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_unpacked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(files(file) | {f"payloads/{number:064x}": b"\0" * 1_000_000 for number in range(5)})
    assert len(bomb) < 100_000
    monkeypatch.setattr(reading, "TOTAL_MAX_BYTES", 4_000_000)
    with pytest.raises(DamagedFile, match="would unpack to"):
        JetrunFile(bomb)
    monkeypatch.setattr(reading, "DOCUMENT_MAX_BYTES", 10)
    with pytest.raises(DamagedFile, match=r"manifest\.json has"):
        JetrunFile(file)


def test_a_length_that_the_directory_lies_about_is_refused(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as opened:
        size = opened.getinfo("manifest.json").file_size
    end = whole.rindex(b"PK\x01\x02")
    place = whole.index(size.to_bytes(4, "little"), end)
    whole[place : place + 4] = (size + 100).to_bytes(4, "little")
    with pytest.raises(DamagedFile):
        JetrunFile(bytes(whole))


def test_records_that_were_taken_out_or_changed_are_found(file: Path) -> None:
    entries = files(file)
    name = journal(entries)
    fewer = bytes([entries[name][0] - 1]) + entries[name][1:]
    for data, said in (
        (fewer, "cannot be read|records, and the manifest says"),
        (entries[name].replace(b"api", b"apj"), "hash chain"),
        (b"\xc1", "cannot be read"),
    ):
        with pytest.raises(DamagedFile, match=said):
            JetrunFile(zipped(entries | {name: data}))


def test_records_of_somebody_else_are_refused_also_with_a_chain_of_their_own(file: Path) -> None:
    entries = files(file)
    records = encoded(Driver(ORDER, {"n": 3}, trigger="api").work().journal)

    def other(manifest: dict[str, Any]) -> None:
        manifest["runs"][0] |= {"run": "r2", "chain": chain.chain("r2", records).hex()}

    with pytest.raises(DamagedFile, match="is one of run 'r1'"):
        JetrunFile(zipped(with_manifest(entries, other)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest.update(version=2), "this version reads"),
        (lambda manifest: manifest.update(runs=[]), "no run in it"),
        (lambda manifest: manifest.update(flows=[]), "flow of run"),
        (lambda manifest: manifest.update(runs=7), "cannot be read"),
        (lambda manifest: manifest["runs"][0].update(summary="zz"), "summary of run"),
        (lambda manifest: manifest["flows"][0].update(digest="../../etc/passwd"), "missing"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(file: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    with pytest.raises(DamagedFile, match=said):
        JetrunFile(zipped(with_manifest(files(file), change)))


def test_a_flow_that_is_another_one_than_its_digest_says_is_refused(file: Path) -> None:
    entries = files(file)
    name = next(name for name in entries if name.startswith("flows/"))
    for source in (entries[name].replace(b"no more", b"no less"), b"[" * 10_000, b"nothing"):
        with pytest.raises(BrokenDefinition):
            JetrunFile(zipped(entries | {name: source}))


def test_a_value_with_other_bytes_than_its_name_says_is_refused_when_it_is_read(file: Path) -> None:
    opened = JetrunFile(zipped(files(file) | {f"payloads/{sha256(BODY).hexdigest()}": b"b" * len(BODY)}))
    with pytest.raises(DamagedFile, match="does not have the bytes"):
        opened.payload(opened.manifest.payloads[0])
