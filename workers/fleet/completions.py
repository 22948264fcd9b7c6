"""Completions on their way into the log: one batcher per partition's WAL, in the order in which attempts end.

A completion that finds no room waits and is tried again for ever; whoever put it learns when it is on disk. One that is too large for the
log is replaced by the failure of its attempt, so nothing that is put here can get stuck. Failures are logged on their way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from ...broker.client import Batcher, BrokerError, Publisher, Receipt
from ...broker.observe.counters import QueueCounters, WorkerCounters
from ...schemas import subjects
from ...schemas.codec import encode_record
from ...schemas.limits import COMPLETION_MAX_BYTES, PAYLOAD_INLINE_MAX_BYTES
from ...schemas.messages import Task
from ...schemas.payload import NULL
from ...schemas.plan.plan import NONE, Plan, PlanNode
from ...schemas.records import Completion, Error
from ..executor import Executor
from .settings import PAYLOAD_TOO_LARGE
from .watch import Watch

ENTRIES_MAX = 512
"""In a message: as many as a coordinator puts into one of its own."""


class Completions:
    """Of the attempts that this executor makes. Its secrets are not shown in the log. `watch` is told which attempts have ended."""

    def __init__(self, publisher: Publisher, partitions: int, executor: Executor, counters: WorkerCounters) -> None:
        self.watch = Watch()
        self._batchers = [Batcher(publisher, subjects.wal(partition), entries_max=ENTRIES_MAX) for partition in range(partitions)]
        self._partitions = partitions
        self._secrets = executor.services.secrets
        self._counters = counters
        self._queues: dict[str | None, QueueCounters] = {}

    def put(self, completion: Completion, plan: Plan, node: PlanNode, receipt: Receipt) -> None:
        """Hand a completion over; `receipt` is told when it is on disk."""
        entry = encode_record(completion)
        if len(entry) > PAYLOAD_INLINE_MAX_BYTES:
            completion = _bounded(completion, node, len(entry))
            entry = encode_record(completion)
        self.counters(node).executed(completion.error is not None, completion.took_us)
        partition = subjects.partition_of(completion.run, self._partitions)
        if completion.error is not None:
            self._tell(completion, completion.error, plan, node, partition)
        if self.watch.watched:
            self.watch.note((completion.run, completion.activation, completion.attempt))
        self._batchers[partition].put(entry, receipt)

    def counters(self, node: PlanNode) -> QueueCounters:
        """Those of the queue that the node's tasks come by."""
        found = self._queues.get(node.queue)
        if found is None:
            found = self._queues[node.queue] = self._counters.queue(node.queue or subjects.QUEUE_DEFAULT)
        return found

    @property
    def backlog(self) -> int:
        """Completions that are not on disk yet."""
        return sum(batcher.backlog for batcher in self._batchers)

    @property
    def blocked_by(self) -> BrokerError | None:
        """Why they are not, if something is wrong."""
        return next((batcher.blocked_by for batcher in self._batchers if batcher.blocked_by is not None), None)

    async def so_far(self, runs: Iterable[str]) -> None:
        """Wait until what was put before this call is on disk, as far as it is of these runs."""
        for partition in {subjects.partition_of(run, self._partitions) for run in runs}:
            await self._batchers[partition].so_far()

    async def drained(self) -> None:
        for batcher in self._batchers:
            await batcher.drained()

    async def close(self) -> None:
        """Stop publishing. What is not on disk is lost, and its messages will be delivered again."""
        for batcher in self._batchers:
            await batcher.close()

    def _tell(self, completion: Completion, error: Error, plan: Plan, node: PlanNode, partition: int) -> None:
        fields: dict[str, Any] = {"run": completion.run, "node": node.id, "attempt": completion.attempt, "partition": partition}
        if node.compensates != NONE:
            fields["undoes"] = plan.nodes[node.compensates].id
        event = "an attempt failed" if node.compensates == NONE else "a compensation failed"
        message = self._secrets.redact(error.message)
        structlog.get_logger("jetfleet.worker").warning(event, **fields, error=error.type, message=message)


def failure(task: Task, error: Error, executor: Executor) -> Completion:
    """The completion of an attempt that was not executed to its end."""
    return Completion(task.run, executor.services.clock.now_ms(), task.activation, task.attempt, error=error, worker=executor.worker)


def _bounded(completion: Completion, node: PlanNode, entry_bytes: int) -> Completion:
    """The completion, or what is reported in its place if it is too large for the log."""
    output_bytes = len(completion.output)
    if completion.error is None and output_bytes > PAYLOAD_INLINE_MAX_BYTES:
        what = f"the output has {output_bytes} bytes, and an output may have {PAYLOAD_INLINE_MAX_BYTES}"
    elif entry_bytes > COMPLETION_MAX_BYTES:
        what = f"the completion has {entry_bytes} bytes with its error's details, and may have {COMPLETION_MAX_BYTES}"
    else:
        return completion
    why = f"{what}: put it elsewhere (a file, an object store) and return where it lies"
    error = Error(PAYLOAD_TOO_LARGE, why, False, node.id, completion.attempt)
    return msgspec.structs.replace(completion, output=NULL, error=error, retry_after_ms=None)
