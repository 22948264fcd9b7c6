"""The benchmark of large values says everything it promises, and leaves neither arenas nor networks behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASE = {
    "bytes", "kind", "write_mb_s", "memcpy_mb_s", "write_ratio", "first_write_ratio", "first_write_new_ratio",
    "handovers", "handover_ms", "handover_extra_ms", "consumer_extra_rss_bytes", "consumer_mapped_bytes", "consumer_peak_rss_bytes",
}  # fmt: skip
MIB = 1 << 20


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The figures of two sizes, and what there was afterwards in the folders that it had."""
    arena, other = tmp_path_factory.mktemp("arena"), tmp_path_factory.mktemp("other")
    done = benchmark("--quick", "--json", "--sizes", "1KiB,16MiB", "--runs", "2", "--arena", str(arena), folder=other)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout), [*arena.iterdir(), *other.iterdir()]


def test_each_size_and_kind_is_a_case_with_all_its_figures(measured):
    figures, _ = measured
    assert [(case["bytes"], case["kind"]) for case in figures["cases"]] == [
        (1024, "bytes"), (1024, "float64"), (16 * MIB, "bytes"), (16 * MIB, "float64"),
    ]  # fmt: skip
    assert all(set(case) == CASE for case in figures["cases"])
    assert all(case["handover_ms"] > 0 for case in figures["cases"])
    assert figures["skipped"] == []


def test_the_consumer_of_a_large_value_has_it_in_memory_once(measured):
    figures, _ = measured
    large = [case for case in figures["cases"] if case["bytes"] == 16 * MIB]
    assert all(15 * MIB <= case["consumer_peak_rss_bytes"] < 28 * MIB for case in large)


def test_the_value_of_a_killed_producer_arrives(measured):
    figures, _ = measured
    assert figures["killed_producer"] == [{"bytes": 16 * MIB, "right_bytes": True}]


def test_a_value_for_another_host_is_measured_beside_a_raw_pipeline(measured):
    figures, _ = measured
    (case,) = figures["two_hosts"]["cases"]
    assert case["bytes"] == 16 * MIB
    assert min(case["on_demand_mb_s"], case["uploaded_mb_s"], case["raw_through_mb_s"], case["raw_read_mb_s"]) > 0


def test_nothing_is_left_behind(measured):
    _, left = measured
    assert left == []


def test_a_size_that_is_none_is_refused(tmp_path):
    done = benchmark("--sizes", "1KB", folder=tmp_path)
    assert done.returncode == 2
    assert "64KiB" in done.stderr


def test_a_size_that_the_machine_has_no_memory_for_is_left_out_with_the_reason(tmp_path):
    done = benchmark("--json", "--quick", "--runs", "1", "--sizes", "1000GiB", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["cases"] == []
    assert "of memory" in figures["skipped"][0]["because"]


def benchmark(*arguments, folder):
    command = [sys.executable, "-m", "benchmarks", "payload", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=100)
