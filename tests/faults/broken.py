"""Broken on purpose: one defect at a time, each one small patch of the real code, and the invariants whose checkers must see it.

A checker that has never complained proves nothing. `test_broken.py` has each defect played (`plays.py`) and expects its complaint, and
none of the same play without it. What is patched is the code that runs; the checkers look at what came of it when it is whole again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from jetfleet.broker.api.client import Client
from jetfleet.broker.arena.reader import Reader
from jetfleet.broker.client.tail import Tail
from jetfleet.broker.coordinator import effects, open_run, partition, snapshots
from jetfleet.broker.coordinator.ended_runs import EndedRuns
from jetfleet.broker.coordinator.intake import FlowIntake
from jetfleet.broker.coordinator.outbox import Outbox
from jetfleet.broker.coordinator.questions import Questions
from jetfleet.broker.coordinator.snapshots import Snapshots
from jetfleet.broker.coordinator.timers import NearTimers
from jetfleet.broker.fleet import leases
from jetfleet.schemas.effects import FinishRun
from jetfleet.schemas.errors import EventRejected
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import CancelRequested, Completion
from jetfleet.workers.identity import Identity
from jetfleet.workers.secrets import Secrets

from . import plays
from .defects import DEFECTS, defect, now_and_then, patched

__all__ = ["DEFECTS"]

# --- events


@defect(plays.orders, "I1")
def intake_acknowledges_an_event_and_drops_it() -> Iterator[None]:
    it_happens = now_and_then()

    def make(start: Any) -> Any:
        def _start(self: FlowIntake, plan: Any, receipt: Any, event: Any, now: int) -> bool:
            if it_happens():
                receipt.settled(1, None)
                return False
            return bool(start(self, plan, receipt, event, now))

        return _start

    with patched(FlowIntake, "_start", make):
        yield


@defect(plays.orders, "I3")
def an_ended_run_is_forgotten_and_begins_again() -> Iterator[None]:
    with patched(EndedRuns, "__contains__", lambda whole: lambda self, run: False):
        yield


@defect(plays.orders, "I14")
def a_client_says_refused_of_what_it_has_stored() -> Iterator[None]:
    def make(send: Any) -> Any:
        async def _send(self: Client, flow: str, payload: Any = None, *, id: str | None = None, **more: Any) -> str:
            run = await send(self, flow, payload, id=id, **more)
            if id == "k3":
                raise EventRejected("there is no room")
            return str(run)

        return _send

    with patched(Client, "send", make):
        yield


@defect(plays.orders, "I8")
def what_is_no_record_is_dropped() -> Iterator[None]:
    with patched(partition.Partition, "bury", lambda whole: lambda self, message, data, error, ticket: None):
        yield


# --- the fold and its effects


@defect(plays.orders, "I2")
def the_fold_loses_a_completion() -> Iterator[None]:
    it_happens = now_and_then()

    def make(decide: Any) -> Any:
        return lambda run, record: [] if type(record) is Completion and it_happens() else decide(run, record)

    with patched(partition, "decide", make):
        yield


@defect(plays.cancelled, "I11")
def a_cancellation_is_ignored() -> Iterator[None]:
    def make(decide: Any) -> Any:
        return lambda run, record: [] if type(record) is CancelRequested else decide(run, record)

    with patched(partition, "decide", make):
        yield


@defect(plays.orders, "I2")
def a_task_is_never_given_out() -> Iterator[None]:
    it_happens = now_and_then()

    def make(task: Any) -> Any:
        def _task(self: Outbox, *what: Any) -> None:
            if not it_happens():
                task(self, *what)

        return _task

    with patched(Outbox, "task", make):
        yield


@defect(plays.orders, "I4")
def a_task_is_given_out_twice_as_a_new_one() -> Iterator[None]:
    def make(task: Any) -> Any:
        def _task(self: Outbox, *what: Any) -> None:
            task(self, *what)
            task(self, *what)

        return _task

    with patched(Outbox, "task", make):
        yield


@defect(plays.orders, "I5")
def a_run_ends_a_second_time_in_another_way() -> Iterator[None]:
    def make(finish: Any) -> Any:
        def _finish(home: Any, run: Any, effect: FinishRun, ticket: Any) -> None:
            plan, state = run.plan, run.run
            finish(home, run, effect, ticket)
            summary = Summary(
                plan.name, plan.version, plan.digest, "failed", None, state.started_at, state.updated_at, records=run.archived
            )
            home.outbox.part(plan.name, msgspec.msgpack.encode(Part(state.id, run.archived, [], summary)), ticket)

        return _finish

    with _carrier(make):
        yield


@defect(plays.orders, "I5")
def the_output_of_a_run_has_other_bytes() -> Iterator[None]:
    def make(finish: Any) -> Any:
        def _finish(home: Any, run: Any, effect: FinishRun, ticket: Any) -> None:
            finish(home, run, msgspec.structs.replace(effect, output=encode("something else")), ticket)

        return _finish

    with _carrier(make):
        yield


@contextmanager
def _carrier(make: Callable[[Any], Any]) -> Iterator[None]:
    whole = effects._CARRIERS[FinishRun]
    effects._CARRIERS[FinishRun] = make(whole)
    try:
        yield
    finally:
        effects._CARRIERS[FinishRun] = whole


@defect(plays.orders, "I6")
def the_chain_of_a_journal_leaves_a_record_out() -> Iterator[None]:
    with patched(open_run, "extended", lambda extended: lambda value, records: extended(value, list(records)[1:])):
        yield


# --- snapshots and owners


@defect(plays.handover, "I2")
def a_snapshot_forgets_an_open_run() -> Iterator[None]:
    def make(entries: Any) -> Any:
        def _entries(self: Snapshots, home: Any, number: int, ticket: Any) -> Iterator[bytes]:
            for entry in entries(self, home, number, ticket):
                if not home.runs:
                    yield entry

        return _entries

    with patched(Snapshots, "_entries", make):
        yield


@defect(plays.handover, "I6")
def a_snapshot_has_another_state_than_its_run() -> Iterator[None]:
    def make(snapshot: Any) -> Any:
        def _snapshot(run: Any) -> bytes:
            fields = msgspec.msgpack.decode(snapshot(run))
            fields[4] += 1  # when it began
            return msgspec.msgpack.encode(fields)

        return _snapshot

    with patched(snapshots, "snapshot", make):
        yield


@defect(plays.handover, "I9")
def a_new_owner_has_the_generation_of_the_last_one() -> Iterator[None]:
    def make(write: Any) -> Any:
        async def _write(self: leases.Leases, number: int, lease: Any, seq: int) -> int:
            return int(await write(self, number, msgspec.structs.replace(lease, generation=1), seq))

        return _write

    with patched(leases.Leases, "_write", make):
        yield


@defect(plays.taken_away, "I9")
def a_lease_is_kept_after_it_was_lost() -> Iterator[None]:
    with patched(leases.Leases, "_lose", lambda whole: lambda self, number, reason: None):
        yield


@defect(plays.damaged_log, "I6", "I8")
def a_hole_in_a_wal_is_ignored() -> Iterator[None]:
    def make(on_message: Any) -> Any:
        def _on_message(self: Tail, message: Any) -> None:
            self.last = message.stream_seq - 1
            on_message(self, message)

        return _on_message

    with patched(Tail, "_on_message", make):
        yield


# --- timers


@defect(plays.timed, "I2", "I10")
def a_timer_is_forgotten() -> Iterator[None]:
    with patched(NearTimers, "set", lambda whole: lambda self, effect: None):
        yield


@defect(plays.timed, "I10")
def a_timer_fires_early() -> Iterator[None]:
    def make(set_timer: Any) -> Any:
        return lambda self, effect: set_timer(self, msgspec.structs.replace(effect, due=effect.due - 100))

    with patched(NearTimers, "set", make):
        yield


# --- workers


@defect(plays.redelivered, "I3")
def the_owner_says_wanted_of_everything() -> Iterator[None]:
    def make(verify: Any) -> Any:
        async def _verify(self: Questions, message: Any) -> None:
            await message.respond(msgspec.msgpack.encode([True] * len(msgspec.msgpack.decode(message.data))))

        return _verify

    with patched(Questions, "_verify", make):
        yield


@defect(plays.failing, "I4")
def the_idempotency_key_changes_with_the_attempt() -> Iterator[None]:
    def make(key: Any) -> Any:
        return property(lambda self: f"{key.fget(self)}/{self.attempt}")

    with patched(Identity, "idempotency_key", make):
        yield


@defect(plays.failing, "I15")
def a_secret_stands_in_a_log() -> Iterator[None]:
    with patched(Secrets, "redact", lambda whole: lambda self, value: value):
        yield


@defect(plays.large_values, "I7")
def a_checksum_is_not_compared() -> Iterator[None]:
    with patched(Reader, "_note_right", lambda whole: lambda self, ref, crc: None):
        yield
