"""The benchmark of triggers says what it promises of an adapter, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_trigger_is_measured_beside_its_ceiling_and_leaves_nothing_behind(tmp_path):
    done = benchmark("--only", "memory", "--quick", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    by_adapter = json.loads(done.stdout)
    assert list(by_adapter) == ["memory"]
    figures = by_adapter["memory"]
    assert figures["events_per_s"] > 0 and figures["ceiling_per_s"] > 0 and figures["ratio"] > 0
    assert figures["p50_ms"] <= figures["p99_ms"]
    assert {"nats-server", "coordinator-1", "worker-1", "load"} <= set(figures["cpu_us_per_event"])
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_does_not_exist_is_refused_before_anything_is_started(tmp_path):
    done = benchmark("--only", "memory,pigeon", folder=tmp_path)
    assert done.returncode == 1
    assert "pigeon is none of memory, queue, webhook, filesystem, kafka" in done.stderr


def benchmark(*arguments, folder):
    command = [sys.executable, "-m", "benchmarks", "triggers", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=100)
