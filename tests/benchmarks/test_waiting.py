"""Runs that wait can be measured with one command, which prints one object and leaves nothing behind."""

import json

import pytest

from .test_bare import benchmark

PROMISED = ("fired_early", "fired_again", "fired_early_restart")


@pytest.mark.soak
def test_runs_that_wait_are_measured_and_leave_nothing_behind(tmp_path):
    done = benchmark("waiting", "--runs", "4000", "--json", folder=tmp_path, timeout_s=300)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["waiting_runs"] == 4_400 and [figures[name] for name in PROMISED] == [0, 0, 0]
    assert figures["failed"] == [] and figures["restart_s"] > 0 and figures["lateness_p50_ms"] <= figures["lateness_p99_ms"]
    assert list(tmp_path.iterdir()) == []
