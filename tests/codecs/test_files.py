"""Files that a node returned: their bytes and names, and paths that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jetfleet.broker.codecs.path import FileView
from jetfleet.broker.codecs.registry import codec_for, codec_named, nbytes
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload_errors import PayloadCorrupt
from jetfleet.schemas.values import MISSING

from .memory import body_of, codec_of, picked, there_and_back


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "räport 1.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


def test_a_file_comes_back_as_its_bytes_and_its_name(file: Path) -> None:
    found = there_and_back(file)
    assert isinstance(found, FileView)
    assert (found.name, bytes(found.body), found.body.readonly) == ("räport 1.csv", b"a,b\n1,2\n", True)
    assert nbytes(file) == 8


def test_a_file_that_came_from_elsewhere_can_be_handed_on(file: Path) -> None:
    found = there_and_back(file)
    assert codec_for(found) is codec_for(file)
    assert there_and_back(found) == found
    assert nbytes(found) == 8


def test_an_empty_file_comes_back_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert there_and_back(tmp_path / "empty").nbytes == 0


def test_a_file_is_read_before_it_can_be_removed(file: Path) -> None:
    encoded = codec_of(file).encode(file)
    file.unlink()
    assert encoded.body() == b"a,b\n1,2\n"


def test_a_file_has_nothing_inside(file: Path) -> None:
    assert picked(file, 0) is MISSING
    assert picked(file).name == file.name


def test_paths_that_lead_to_no_file_are_refused_with_the_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("nul\0byte")):
        with pytest.raises(UnencodableValue, match="the node returned the path"):
            codec_of(path).encode(path)
    assert nbytes(tmp_path / "missing") is None


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"../x", b"/etc/x", b"nul\0", b"\xff"])
def test_a_name_that_leads_elsewhere_is_corrupt(name: bytes) -> None:
    with pytest.raises(PayloadCorrupt):
        codec_named("file").decode(memoryview(b"x"), name)


def test_a_file_is_read_where_it_lies(file: Path) -> None:
    body = body_of(codec_of(file).encode(file))
    assert codec_named("file").decode(body, b"name").body.obj is body.obj


def test_a_file_that_does_not_know_its_size_comes_back_whole() -> None:
    if not Path("/proc/version").is_file():
        pytest.skip("needs /proc")
    assert bytes(there_and_back(Path("/proc/version")).body) == Path("/proc/version").read_bytes() != b""
