"""Commands as a person types them, against one whole fleet of processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from jetfleet.broker.api.standing import Standing
from jetfleet.schemas.cli import main

from ..fleet.background_fleet import BackgroundFleet


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli: TypeAlias = Callable[..., Said]


def cli_of(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in this process."""

    def call(*args: str) -> Said:
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return call


def sent(cli: Cli, flow: str, event: str = "{}", *more: str) -> str:
    """The id of a run that was sent."""
    said = cli("send", flow, event, *more)
    assert said.code == 0, said.err
    return said.out.strip()


def stands(whole: BackgroundFleet, run: str, *statuses: str) -> Standing:
    """Wait until the run is in one of these, as its owner says, and as lists show it."""

    async def look() -> Standing:
        client = whole.fleet.client
        while True:
            rows = (await client.runs(f"id = {run}")).rows
            if rows and rows[0].status in statuses:
                now = await client.standing(run)
                if now.status in statuses:
                    return now

    return whole.do(look())
