"""The scenarios: one file each in `scenarios/`, with a coroutine `play(settings)` and a docstring whose first line says what it does.

    settings.n          how many faults are to be injected (0: as the scenario has it, `quick` fewer)
    settings.seed       of everything that is ours to choose; what processes make of it is theirs

A scenario raises Missing, with the reason, where the machine lacks what it needs.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from .outcome import Outcome

FOLDER = Path(__file__).with_name("scenarios")


class Missing(Exception):
    """What the machine lacks, in words that say how to come by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    n: int = 0
    seed: int = 0
    quick: bool = False

    def count(self, full: int, quick: int) -> int:
        """How many faults to inject."""
        return self.n or (quick if self.quick else full)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    about: str
    play: Callable[[Settings], Awaitable[Outcome]]


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith(("_", "test_")))


def scenario(name: str) -> Scenario:
    module = importlib.import_module(f".scenarios.{name}", __package__)
    return Scenario(name, (module.__doc__ or "").strip().partition("\n")[0], module.play)


async def played(name: str, settings: Settings) -> Outcome:
    """The outcome of a scenario, with the time that it took. Raises Missing."""
    began = time.monotonic()
    outcome = await scenario(name).play(settings)
    outcome.seconds, outcome.seed = time.monotonic() - began, settings.seed
    return outcome


def play(name: str, settings: Settings) -> Outcome:
    return asyncio.run(played(name, settings))
