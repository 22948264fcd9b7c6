"""A worker that knows nothing but docs/protocol.md, msgpack and a socket: the numbers in comments are those of "What a worker must do".

Thin on purpose: one message at a time, and what a node does is over in no time, so it has no use for `+WPI` (2) and for calling off (6).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgpack

from .raw_nats import RawMessage, RawNats

DEATHS_MAX = 5
CONSUMER = {
    "ack_policy": "explicit", "deliver_policy": "all", "max_deliver": -1, "max_ack_pending": 100_000, "ack_wait": 4 * 10**9,
    "mem_storage": True,
}  # fmt: skip

Node = Callable[[Any], Any]
Task = list[Any]


class RawWorker:
    """`nodes`: node type → function. `executed`: what was, as (run, index of the node, attempt)."""

    def __init__(self, nats: RawNats, queue: str, nodes: dict[str, Node]) -> None:
        self.nats, self.queue, self.nodes = nats, queue, nodes
        self.executed: list[tuple[str, int, int]] = []
        self._definitions: dict[str, list[dict[str, Any]]] = {}
        topology = msgpack.unpackb(nats.request("$JS.API.DIRECT.GET.FLEET.topology", b"").data)
        self.partitions: int = topology[1]
        self.epoch = nats.request("$JS.API.DIRECT.GET.TASKS.tasks-epoch", b"").data.decode()
        self._make_consumer()

    def take(self) -> RawMessage:
        """The next message of tasks."""
        ask = {"batch": 1, "expires": 10 * 10**9, "idle_heartbeat": 10**9}
        self.nats.send(f"$JS.API.CONSUMER.MSG.NEXT.TASKS.queue-{self.queue}", json.dumps(ask).encode(), f"{self.nats.inbox}.tasks")
        return self.nats.next(lambda message: message.reply.startswith("$JS.ACK.") or message.status in (404, 408, 409, 503))

    def work(self, message: RawMessage) -> None:
        """Do what a message asks for, up to its acknowledgement."""
        self.execute(message)
        self.nats.send(message.reply, b"+ACK")

    def execute(self, message: RawMessage) -> None:
        """All but the acknowledgement."""
        assert message.reply, f"no task: status {message.status}"
        tasks: list[Task] = msgpack.unpackb(message.data)
        deaths = int(message.headers.get("Jetfleet-Deaths", "0")) + deliveries(message) - 1
        suspect = "Jetfleet-Deaths" in message.headers or message.headers.get("Jetfleet-Epoch", self.epoch) != self.epoch
        for task in tasks:
            asked = suspect or deaths > 0 or bool(task[6])
            if asked and not self._wanted(task):  # 1
                continue
            if deaths >= DEATHS_MAX:  # 8
                self._record(task, error=["poison_task", f"its worker died {deaths} times", False])
                deaths = 0
            else:
                self._attempt(message, task, deaths)

    def _attempt(self, message: RawMessage, task: Task, deaths: int) -> None:
        run, activation, attempt = task[:3]
        definition = self._node(task[3], activation[0])
        function = self.nodes.get(definition["type"])
        if function is None:  # 7
            self.nats.publish(message.subject, msgpack.packb([task]), {"Jetfleet-Deaths": str(deaths)})
            return
        self.executed.append((run, activation[0], attempt))
        try:
            self._record(task, output=function(msgpack.unpackb(task[4])))
        except ValueError as error:  # 4
            self._record(task, error=["value_error", str(error), True])

    def _record(self, task: Task, output: Any = None, error: list[Any] | None = None) -> None:
        """3: returns when it is on disk."""
        run, activation, attempt = task[:3]
        now_ms = time.time_ns() // 1_000_000
        completion = [2, run, now_ms, activation, attempt, "out", msgpack.packb(output), error, None, "raw", 0]
        answer = self.nats.publish(f"wal.{self._partition(run)}", msgpack.packb([completion]))
        assert "error" not in answer, answer

    def _wanted(self, task: Task) -> bool:
        while True:
            answer = self.nats.request(f"verify.{self._partition(task[0])}", msgpack.packb([task[:3]]))
            if not answer.status:
                return bool(msgpack.unpackb(answer.data)[0])
            time.sleep(0.05)  # nobody owns the partition right now

    def _node(self, digest: str, index: int) -> dict[str, Any]:
        if digest not in self._definitions:
            found = msgpack.unpackb(self.nats.request(f"$JS.API.DIRECT.GET.FLOWS.plan.{digest}", b"").data)
            self._definitions[digest] = list(json.loads(found[3])["nodes"].values())
        return self._definitions[digest][index]

    def _partition(self, run: str) -> int:
        return crc32(run.encode()) % self.partitions

    def _make_consumer(self) -> None:
        name = f"queue-{self.queue}"
        config = {"durable_name": name, "name": name, "filter_subjects": [f"tasks.{self.queue}"], **CONSUMER}
        body = {"stream_name": "TASKS", "config": config, "action": ""}
        answer = json.loads(self.nats.request(f"$JS.API.CONSUMER.CREATE.TASKS.{name}", json.dumps(body).encode()).data)
        assert "error" not in answer, answer


def deliveries(message: RawMessage) -> int:
    """Which delivery of the message this is."""
    tokens = message.reply.split(".")
    return int(tokens[4] if len(tokens) == 9 else tokens[6])
