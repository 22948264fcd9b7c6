"""The ceiling can be measured with one command, which prints one object and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_bare_pipeline_is_measured_and_leaves_nothing_behind(tmp_path):
    done = benchmark("bare", "--quick", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["nodes_per_s"] > 0 and figures["p50_ms"] <= figures["p99_ms"]
    assert set(figures["rss_mib"]) == {"nats-server", "coordinator", "worker"}
    assert list(tmp_path.iterdir()) == []


def test_an_option_of_another_benchmark_is_refused(tmp_path):
    done = benchmark("bare", "--huge", folder=tmp_path)
    assert done.returncode == 2
    assert "--huge is an option of the benchmark recovery" in done.stderr


def benchmark(*arguments, folder, timeout_s=60):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=timeout_s)
