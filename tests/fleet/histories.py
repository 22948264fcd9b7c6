"""What a coordinator leaves behind, written by hand: journals that the engine made, in batches in the WAL and in the history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from jetfleet.broker.client import Connection
from jetfleet.broker.engine import begin, decide
from jetfleet.schemas import messages, payload, subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.effects import Dispatch, FinishRun
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, Error, Record, RunStarted

PARTITIONS = 2
START = 1_750_000_000_000
STEP_MS = 10
"""How long each node takes."""


def chain(name: str, keep: str = "30d") -> Flow:
    """A flow of three nodes in a row."""
    nodes = {node: {"type": "shop.work", "config": {}} for node in ("a", "b", "c")}
    edges = [{"from": "go", "to": "a"}, {"from": "a", "to": "b"}, {"from": "b", "to": "c"}]
    triggers = [{"id": "go", "type": "webhook", "params": {"port": 8080, "path": "/go"}}]
    return Flow.model_validate({"name": name, "history": {"keep": keep}, "triggers": triggers, "nodes": nodes, "edges": edges})


@dataclass(frozen=True, slots=True)
class Played:
    """A run as far as it was played. `summary` is None while it is open."""

    flow: str
    run: str
    records: list[Record]
    summary: Summary | None

    def part(self, first: int = 0, end: int | None = None) -> Part:
        """The records from `first` on, before `end`; with the summary if they go to the end of an ended run."""
        records = [msgspec.Raw(encode_record(record)) for record in self.records[first:end]]
        return Part(self.run, first, records, self.summary if end is None else None)


class Stage:
    """Plays runs of one flow, one after the other, each a little later."""

    def __init__(self, flow: str = "orders", keep: str = "30d") -> None:
        self.plan: Plan = compile_flow(chain(flow, keep))

    def play(
        self, key: str, *, at: int = START, nodes: int = 3, error: str | None = None, output: Any = None, took: int = STEP_MS
    ) -> Played:
        """Let `nodes` nodes end; with `error` the last of these fails."""
        id = subjects.run_id(self.plan.name, key)
        records: list[Record] = [RunStarted(id, at, self.plan.name, self.plan.digest, "go", payload.encode({"key": key}))]
        run, effects = begin(self.plan, records[0])  # type: ignore[arg-type]
        for number in range(1, nodes + 1):
            task = next(effect for effect in effects if isinstance(effect, Dispatch))
            failed = Error("out_of_stock", error, False) if error is not None and number == nodes else None
            done = Completion(id, at + number * took, task.activation, task.attempt, "out", payload.encode(output), failed)
            records.append(done)
            effects = decide(run, done)
        finish = next((effect for effect in effects if isinstance(effect, FinishRun)), None)
        return Played(self.plan.name, id, records, None if finish is None else self._summary(run, finish, len(records)))

    def _summary(self, run: Any, finish: FinishRun, records: int) -> Summary:
        return Summary(
            self.plan.name, self.plan.version, self.plan.digest, finish.status, "go", run.started_at, run.updated_at,
            finish.output, finish.error, records,
        )  # fmt: skip


async def write_wal(connection: Connection, *records: Record) -> None:
    """Append records to the WAL of their runs' partitions, one batch for each."""
    for partition in range(PARTITIONS):
        mine = [record for record in records if subjects.partition_of(record.run, PARTITIONS) == partition]
        if mine:
            await connection.publisher.publish(subjects.wal(partition), messages.encode_all(mine))


async def write_history(connection: Connection, flow: str, parts: Iterable[Part]) -> int:
    """Archive parts in one message; its sequence."""
    ack = await connection.publisher.publish(subjects.history(flow), messages.encode_all(parts))
    return ack.seq


async def archive(connection: Connection, runs: Sequence[Played], batch: int = 100) -> None:
    """Archive whole runs of one flow."""
    for start in range(0, len(runs), batch):
        await write_history(connection, runs[0].flow, [run.part() for run in runs[start : start + batch]])
