"""The checkers see what is broken: every defect of `broken.py` is caught, and without it the same play is found to be sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.client import Connection

from ..fleet.conftest import fresh_url, server_factory
from ..fleet.fleets import LONG_S, fleet
from ..fleet.running import run
from .broken import DEFECTS
from .defects import Defect
from .evidence import Evidence
from .invariants import check, open_runs, owners
from .ledger import Ledger
from .life import live, reading
from .plays import CANARY, PLAYS, Play, damaged_log
from .recorder import Recorder
from .small_fleet import small_fleet

__all__ = ["fresh_url", "server_factory"]
BROKEN_PATIENCE_S = 0.4
"""How long to wait for what may never happen any more."""
STANDING = {damaged_log: {"I2"}}
"""What is said of a play on sound code: that a run stands still whose log is damaged."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkers that have little patience, and the secret of the plays."""
    monkeypatch.setattr(open_runs, "GRACE_MS", 200)
    monkeypatch.setattr(owners, "LETTING_GO_S", 0.2)
    monkeypatch.setenv("JETFLEET_SECRET_CANARY", CANARY)


async def played(play: Play, url: str, folder: Path, patience_s: float) -> Evidence:
    async with small_fleet(url, folder, patience_s=patience_s) as small:
        await play(small)
        return await small.evidence()


@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)
def test_a_play_on_sound_code_has_no_complaints(play: Play, fresh_url: str, tmp_path: Path) -> None:
    complaints = check(run(played(play, fresh_url, tmp_path, 10)))
    assert [str(complaint) for complaint in complaints if complaint.invariant not in STANDING.get(play, ())] == []


def test_nothing_is_said_of_a_life_with_a_bit_of_everything_in_it(fresh_url: str, tmp_path: Path) -> None:
    async def lived() -> Evidence:
        async with (
            fleet(fresh_url, tmp_path) as one,
            await Connection.open(fresh_url, name="recorder") as connection,
            Recorder(connection, one.client.partitions) as recorder,
            reading(one, tmp_path),
        ):
            await live(one)
            await one.quiet()
            return await recorder.evidence(Ledger(None), one.client)

    evidence = run(lived(), LONG_S)
    assert {type(entry.record).__name__ for entry in evidence.entries} >= {"RunReopened", "SlotGranted", "EventCollected", "ChildEnded"}
    assert [str(complaint) for complaint in check(evidence)] == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_checker_complains_when(defect: Defect, fresh_url: str, tmp_path: Path) -> None:
    with defect.broken():
        evidence = run(played(defect.play, fresh_url, tmp_path, BROKEN_PATIENCE_S))
    complaints = check(evidence)
    assert defect.seen_by & {complaint.invariant for complaint in complaints}, [str(complaint) for complaint in complaints]
