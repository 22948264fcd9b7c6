"""The recorded session is what these commands print today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ..fleet.background_fleet import BackgroundFleet
from .commands import Cli

ROOT = Path(__file__).parents[2]


def test_the_recorded_session_plays_out_as_the_page_has_it(cli: Cli, whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("session", ROOT / "docs" / "session.py")
    assert found is not None and found.loader is not None
    session = importlib.util.module_from_spec(found)
    found.loader.exec_module(session)
    monkeypatch.setenv("COLUMNS", session.WIDTH)
    whole.do(whole.fleet.client.deploy(ROOT / "examples" / "refund.yaml"))

    def call(args: list[str]) -> tuple[int, str]:
        said = cli(*args)
        return said.code, said.out + said.err

    played = session.masked(session.page(call))
    written = session.masked((ROOT / "docs" / "session.md").read_text())
    assert played.splitlines() == written.splitlines(), "write it anew: python docs/session.py"
