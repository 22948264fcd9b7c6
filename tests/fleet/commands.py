"""Commands as a person types them, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from jetfleet.schemas.cli import main


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli: TypeAlias = Callable[..., Said]


def cli_of(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line. None of them ends in a traceback."""

    def call(*args: str) -> Said:
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return call


def cli_for(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """… against the fleet at this URL, in a terminal that is wide enough for tables."""
    monkeypatch.setenv("JETFLEET_NATS", url)
    monkeypatch.setenv("COLUMNS", "200")
    return cli_of(capsys)
