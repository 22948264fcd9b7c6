"""What node code may know of its attempt, and its way to the outside world."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.errors import Permanent
from jetfleet.workers.cancellation import Cancellation
from jetfleet.workers.context import Context
from jetfleet.workers.identity import Identity
from jetfleet.workers.providers import Services
from jetfleet.workers.virtual_clock import VirtualClock


def context(attempt: int = 1, activation: tuple[int | str, ...] = (3, 0, 2), services: Services | None = None, **options: Any) -> Context:
    return Context(Identity("run-1", "charge", activation, attempt), services or Services(), **options)


def test_the_idempotency_key_is_the_same_for_all_attempts_of_an_activation_only() -> None:
    assert context(1).idempotency_key == context(2).idempotency_key == "run-1/charge[0][2]"
    assert context(1, (3,)).idempotency_key == "run-1/charge"


def test_the_iteration_is_that_of_the_innermost_loop() -> None:
    assert context(activation=(3, 0, 2)).iteration == 2
    assert context(activation=(3,)).iteration is None


def test_every_attempt_draws_the_same_random_numbers_and_ids() -> None:
    first, second, other = context(1), context(2), context(1, (3, 0, 1))
    draws = [[c.rng.random(), c.rng.random(), c.uuid(), c.uuid()] for c in (first, second, other)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][2] != draws[0][3]


def test_now_is_the_time_of_the_clock() -> None:
    assert context(services=Services(clock=VirtualClock(start_ms=1_000))).now() == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_the_flow_environment_lies_over_that_of_the_worker() -> None:
    env = context(services=Services(environ={"REGION": "south", "HOME": "/home"}), env={"REGION": "north"}).env
    assert (env["REGION"], env["HOME"]) == ("north", "/home")


def test_secrets_are_found_by_name_and_never_shown() -> None:
    secrets = context(services=Services(environ={"JETFLEET_SECRET_API_KEY": "k-123", "OTHER": "x"})).secrets
    assert secrets["api_key"] == "k-123"
    assert list(secrets) == ["api_key"]
    assert "api_key" in secrets and "other" not in secrets
    assert "k-123" not in repr(secrets)


def test_a_secret_that_is_not_set_says_how_to_set_it() -> None:
    with pytest.raises(Permanent, match="export JETFLEET_SECRET_NOPE") as missing:
        context(services=Services(environ={})).secrets["nope"]
    assert missing.value.type == "missing_secret"


def test_heartbeats_say_who_is_alive_and_how_far() -> None:
    heard: list[tuple[str, Any]] = []
    services = Services(report=lambda identity, detail: heard.append((identity.idempotency_key, detail)))
    subject = context(services=services)
    subject.heartbeat({"page": 3})
    subject.progress(5, 10, "half")
    assert heard == [("run-1/charge[0][2]", {"page": 3}), ("run-1/charge[0][2]", {"done": 5, "total": 10, "text": "half"})]


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    files = context().fs
    target = str(tmp_path / "a.txt")
    files.write_text(target, "ü")
    assert files.exists(target)
    assert (files.read_text(target), files.read_bytes(target)) == ("ü", "ü".encode())
    with pytest.raises(TypeError):
        files.write_bytes(target, "no bytes")  # type: ignore[arg-type]
    assert files.read_text(target) == "ü"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_cancellation_wakes_those_who_wait_and_those_who_come_later() -> None:
    async def scenario() -> bool:
        cancelled = Cancellation()
        waiting = asyncio.create_task(cancelled.wait())
        await asyncio.sleep(0)
        assert not cancelled and not waiting.done()
        await asyncio.to_thread(cancelled.set)
        await waiting
        await cancelled
        return bool(cancelled)

    assert asyncio.run(scenario()) is True
