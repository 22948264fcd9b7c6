"""The topology: every stream and consumer of a deployment, as data.

    stream      subjects                  kept in  discards  share  what it is for
    EVENTS      events.>                  file     new        20 %  work queue; a consumer `flow-<name>` per flow
    WAL_<p>     wal.<p>                   file     new        25 %  the truth, one stream per partition, divided evenly
    TIMERS      timer.>, fired.>          file     -             -  work queue of what fired; schedules that nobody consumes
                cron.>, tick.>                                      the same for cron triggers
    HISTORY     history.>                 file     old        20 %  journals
    SNAPSHOTS   snapshot.>                file     new        10 %  open runs
    OBJECTS     object.>                  file     new        15 %  large payloads, in chunks                last per subject
    DEAD        dead.>                    file     old         2 %  what could not be read or placed
    FLOWS       flow.>, plan.>, trigger.> file     new         1 %  what is deployed                         last per subject
    FLEET       member.>, lease.>, topology
                                          file     new      64 MiB  who is there, who owns what              last per subject
    SECRETS     secret.>                  file     new       1 MiB  what signs tokens; not for workers       last per subject
    SIGNALS     signals.>, awaited.>      file     new         2 %  work queue; what any program tells runs that wait
    APPROVALS   approval.>                file     old         1 %  notices: a run waits for somebody to decide
    TASKS       tasks.>, tasks-epoch      memory   new    256 MiB   work queue; a consumer `queue-<name>` per queue,
                                                                    and `queue-<name>@<host>` per queue and arena
    PROGRESS    progress.>                memory   old     16 MiB   how far an owner has come                last per subject

Shares are of the deployment's store; what is left over is for timers. Limits are explicit: a stream without one
fills the disk, and a full disk cannot be told from a dead server. What discards *new* refuses the publisher, who waits; nothing that was
acknowledged is dropped. The server gives a stream with schedules no such choice: it would drop the oldest timers. So TIMERS alone has no
limit but the server's store.

`deployment.py` brings all this onto a server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..schemas import subjects
from ..schemas.errors import UsageError

VERSION = 6
"""Grows with every change of this file that an older process must not undo."""
PARTITIONS_DEFAULT = 4
"""As many coordinators can share the work. More partitions mean smaller batches, each of which waits for the disk: on two cores 16
reach four fifths of the throughput of 4, and half of it at 100 runs at a time (benchmarks/README.md). One coordinator
does 50,000 nodes/s, so a deployment that is to grow beyond four of them says so when it is made.
"""
PARTITIONS_MAX = 1_024
MIB = 1 << 20
FLEET_BYTES, SECRETS_BYTES, TASKS_BYTES, PROGRESS_BYTES = 64 * MIB, MIB, 256 * MIB, 16 * MIB
STORE_BYTES_MIN = 256 * MIB
PROBE = "PROBE"
"""The stream that is made and deleted to see what fits into the store. Always this one: who may delete it need not delete others."""
LEFT = "LEFT"
"""The stream that holds what is left of a WAL while it is moved (`accept_loss.py`)."""
FIRED = "fired"
"""The consumer of the timers that fired."""
SIGNALS = "signals"
"""The consumer of what other programs tell runs that wait."""
TICKS = "ticks"
"""The consumer of the times of cron triggers."""

HOST_FORGOTTEN_S = 24 * 60 * 60
"""After so long without a question the consumer of a queue's tasks near one arena goes by itself. Longer than an attempt takes: with the
consumer the server forgets what it has delivered."""

_SECOND_NS = 1_000_000_000
_ACKS_PENDING_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What is asked for. None: what is deployed already, else the default (4 partitions, 1 replica, what fits into the server's store)."""

    partitions: int | None = None
    replicas: int | None = None
    store_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.partitions is not None and not 1 <= self.partitions <= PARTITIONS_MAX:
            raise UsageError(f"{self.partitions} partitions: between 1 and {PARTITIONS_MAX} are possible")
        if self.replicas is not None and self.replicas not in (1, 3, 5):
            raise UsageError(f"{self.replicas} replicas: JetStream keeps 1, 3 or 5 copies")
        if self.store_bytes is not None and self.store_bytes < STORE_BYTES_MIN:
            raise UsageError(f"a store of {self.store_bytes} bytes: at least {STORE_BYTES_MIN} bytes (256 MiB) are needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream. `share` of the store or `bytes` (-1: no limit) bound it; `truth`: it holds what cannot be derived from anything else."""

    name: str
    subjects: tuple[str, ...]
    purpose: str
    share: float = 0.0
    bytes: int = 0
    storage: Literal["file", "memory"] = "file"
    retention: Literal["limits", "workqueue"] = "limits"
    discard: Literal["new", "old"] = "new"
    last_per_subject: bool = False
    consumers_max: int = 1_000
    truth: bool = False
    features: dict[str, bool] = field(default_factory=dict)

    def config(self, replicas: int, store_bytes: int) -> dict[str, Any]:
        """As JetStream's API wants it."""
        return {
            "name": self.name,
            "description": self.purpose,
            "subjects": list(self.subjects),
            "storage": self.storage,
            "retention": self.retention,
            "discard": self.discard,
            "max_bytes": self.bytes or int(self.share * store_bytes),
            "max_msgs_per_subject": 1 if self.last_per_subject else -1,
            "max_age": 0,  # no stream has one: it would be the end of schedules, leases and runs that wait for long
            "max_consumers": self.consumers_max,  # -1 would mean 1,000 since server 2.15
            "duplicate_window": 120 * _SECOND_NS,
            "allow_direct": True,
            "num_replicas": replicas,
            **self.features,
        }


def streams(partitions: int) -> list[Stream]:
    """All streams, FLEET first: it says that there is a deployment."""
    return [
        Stream(
            name=subjects.FLEET, subjects=("member.>", "lease.>", subjects.TOPOLOGY), bytes=FLEET_BYTES, last_per_subject=True,
            purpose="who is there, who owns what", features={"allow_msg_ttl": True},
        ),
        Stream(
            name=subjects.SECRETS, subjects=("secret.>",), bytes=SECRETS_BYTES, last_per_subject=True, purpose="secrets of the deployment",
        ),
        Stream(
            name=subjects.FLOWS, subjects=("flow.>", "plan.>", "trigger.>"), share=0.01, last_per_subject=True, truth=True,
            purpose="what is deployed",
        ),
        Stream(
            name=subjects.EVENTS, subjects=("events.>",), share=0.2, retention="workqueue", consumers_max=10_000, truth=True,
            purpose="events on their way to becoming runs",
        ),
        *(wal_stream(partition, partitions) for partition in range(partitions)),
        Stream(
            name=subjects.TIMERS, subjects=("timer.>", "fired.>", "cron.>", "tick.>"), bytes=-1, discard="old", retention="workqueue",
            truth=True, purpose="timers far away, and those that fired", features={"allow_msg_schedules": True, "allow_msg_ttl": True},
        ),
        Stream(name=subjects.HISTORY, subjects=("history.>",), share=0.2, discard="old", truth=True, purpose="journals of runs"),
        Stream(
            name=subjects.SNAPSHOTS, subjects=("snapshot.>",), share=0.1, truth=True, purpose="the open runs of each partition",
            features={"allow_rollup_hdrs": True},
        ),
        Stream(
            name=subjects.OBJECTS, subjects=("object.>",), share=0.15, last_per_subject=True, truth=True,
            purpose="large payloads, in chunks",
        ),
        Stream(
            name=subjects.SIGNALS, subjects=("signals.>", "awaited.>"), share=0.02, retention="workqueue", truth=True,
            purpose="what any program tells runs that wait",
        ),
        Stream(
            name=subjects.APPROVALS, subjects=("approval.>",), share=0.01, discard="old",
            purpose="notices that a run waits for somebody to decide",
        ),
        Stream(name=subjects.DEAD, subjects=("dead.>",), share=0.02, discard="old", purpose="what could not be read or placed"),
        *memory_streams(),
    ]  # fmt: skip


def wal_stream(partition: int, partitions: int) -> Stream:
    name, subject = subjects.wal_stream(partition), subjects.wal(partition)
    return Stream(name=name, subjects=(subject,), share=0.25 / partitions, truth=True, purpose=f"records of partition {partition}")


def memory_streams() -> list[Stream]:
    """What vanishes, consumers and all, when a server without replicas starts anew; everything in them can be derived."""
    return [
        Stream(
            name=subjects.TASKS, subjects=("tasks.>", subjects.TASKS_EPOCH), bytes=TASKS_BYTES, storage="memory", retention="workqueue",
            consumers_max=10_000, purpose="tasks for workers",
        ),
        Stream(
            name=subjects.PROGRESS, subjects=("progress.>",), bytes=PROGRESS_BYTES, storage="memory", discard="old", last_per_subject=True,
            purpose="how far each partition's effects are acknowledged",
        ),
    ]  # fmt: skip


def truth_streams(partitions: int) -> list[str]:
    """The names of the streams whose loss is a loss."""
    return [stream.name for stream in streams(partitions) if stream.truth]


def flow_consumer(flow: str, trigger: str = "") -> str:
    """`trigger`: of the events of one trigger alone."""
    return f"flow-{flow}@{trigger}" if trigger else f"flow-{flow}"


def queue_consumer(queue: str, host: str = "") -> str:
    """`host`: of the tasks near an arena. No queue's name has an @, so no two consumers have the same name."""
    return f"queue-{queue}@{host}" if host else f"queue-{queue}"


def flow_consumer_config(flow: str, trigger: str = "", *, apart: bool = False) -> dict[str, Any]:
    """The events of one flow, for all coordinators together. `apart`: without those of its triggers; `trigger`: of that one alone."""
    filters = [subjects.event(flow, trigger)] if trigger else [subjects.event(flow)] + ([] if apart else [subjects.event(flow, ">")])
    return _consumer(flow_consumer(flow, trigger), filters, ack_wait_s=2)


def queue_consumer_config(queue: str, host: str = "") -> dict[str, Any]:
    """The tasks of one queue, for all its workers together; or those of them that are near the arena `host`.

    Workers say that they are at it, so what one left is soon given to another. Hosts come and go, so the consumer of one goes when
    nobody has asked it for long; what may still lie on its subject stays in the stream, and gets a new one from whoever finds it.
    """
    config = _consumer(queue_consumer(queue, host), [subjects.tasks(queue, host)], ack_wait_s=4) | {"mem_storage": True}
    return config | {"inactive_threshold": HOST_FORGOTTEN_S * _SECOND_NS} if host else config


def fired_consumer_config() -> dict[str, Any]:
    return _consumer(FIRED, ["fired.>"], ack_wait_s=5)


def signals_consumer_config() -> dict[str, Any]:
    """Signals and events for runs that wait, for all coordinators together. What a dead one had taken comes to another soon."""
    return _consumer(SIGNALS, [], ack_wait_s=5)


def ticks_consumer_config() -> dict[str, Any]:
    """The ticks of all cron triggers, for all coordinators together. Who has one says so, so what a dead one had comes to another soon."""
    return _consumer(TICKS, ["tick.>"], ack_wait_s=2)


def trigger_consumer_config(name: str) -> dict[str, Any]:
    """Of a stream of messages for queue triggers, for all who serve them together. What a dead one had taken comes to another soon."""
    return _consumer(name, [], ack_wait_s=2)


def _consumer(name: str, filters: list[str], ack_wait_s: int) -> dict[str, Any]:
    return {
        "durable_name": name,
        "name": name,
        "filter_subjects": filters,
        "ack_policy": "explicit",
        "ack_wait": ack_wait_s * _SECOND_NS,
        "max_deliver": -1,
        "max_ack_pending": _ACKS_PENDING_MAX,
        "deliver_policy": "all",
    }
