"""A copy of a value shows as the process's own memory, a mapped value does not: the claim that there is no second copy rests on it."""

import mmap
import os
import subprocess
import sys

import pytest

from benchmarks.footprint import Footprint, memory_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SIZE = 64 << 20
ABOUT = SIZE - (2 << 20)
"""The kernel counts pages per core, and is behind by a few."""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "value"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_a_copy_is_memory_of_its_own(file):
    footprint = watched(f"bytearray(b'x') * {SIZE}", file)
    assert ABOUT <= footprint.own_bytes < 2 * SIZE
    assert footprint.mapped_bytes < SIZE // 2
    assert ABOUT <= footprint.peak_bytes < 2 * SIZE


def test_a_mapped_value_is_not(file):
    footprint = watched("mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)", file, then=f"sum(held[::{mmap.PAGESIZE}])")
    assert footprint.own_bytes < SIZE // 8
    assert footprint.mapped_bytes >= ABOUT
    assert ABOUT <= footprint.peak_bytes < 2 * SIZE


def test_what_was_there_before_does_not_count(file):
    child = started(f"bytearray(b'x') * {SIZE}", file)
    step(child)
    with Footprint(child.pid) as footprint:
        assert memory_of(child.pid).own >= ABOUT
    finish(child)
    assert footprint.own_bytes < SIZE // 8
    assert footprint.peak_bytes < SIZE // 8


def watched(held, file, then=""):
    """The footprint of a process while it makes a value."""
    child = started(held, file, then)
    with Footprint(child.pid) as footprint:
        step(child)
    finish(child)
    return footprint


def started(held, file, then=""):
    """A process that makes a value when it is told to, and keeps it until it is told to end."""
    code = f"import mmap, os, sys\nprint(flush=True)\ninput()\nheld = {held}\n{then}\nprint(flush=True)\ninput()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    child.stdout.readline()
    return child


def step(child):
    child.stdin.write("\n")
    child.stdin.flush()
    child.stdout.readline()


def finish(child):
    child.communicate("\n", timeout=10)
