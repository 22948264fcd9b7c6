"""Permissions: which subjects each role publishes on and listens to, as data. The one place that knows who uses what.

    publisher     starts runs by events, sends signals and answers; hears nothing
    client        starts, watches, signals and steers runs, reads what came of them
    operator      a client that deploys, reads and empties dead letters, moves runs, mends
    trigger       turns what happens outside into events
    worker        takes tasks of its queues, records what came of them
    coordinator   owns partitions: makes streams, snapshots, decides nothing that is not in the log
    reader        follows the log, answers questions, forgets runs that are kept long enough

A role that is not listed for a subject is refused there by the server (docs/security.md says what each can still do). Nothing here is
asked while messages travel: it is printed as a configuration of nats-server, and it words the error when a server refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..schemas import subjects
from .topology import FIRED, LEFT, PARTITIONS_DEFAULT, PROBE, SIGNALS, TICKS, queue_consumer

ANY = "*"
RESPONSES_S = 10
"""How long who was asked may take to answer."""
LEADER_ELECTED = f"$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.{subjects.TASKS}.>"


@dataclass(frozen=True, slots=True)
class Scope:
    """What narrows a role. Empty: not narrowed. `hosts`: ids of arenas near which a worker of these `queues` takes tasks."""

    flows: Sequence[str] = ()
    queues: Sequence[str] = ()
    hosts: Sequence[str] = ()
    partitions: int = PARTITIONS_DEFAULT


@dataclass(frozen=True, slots=True)
class Permissions:
    """`subscribe` is without the inbox, which is the user's. `answers`: may answer whoever asked it."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    answers: bool = False


def permissions(role: str, scope: Scope = Scope()) -> Permissions:
    """Of one of `ROLES`."""
    return _ROLES[role](scope)


def roles_that_may(subject: str, *, listening: bool = False) -> list[str]:
    """Those that may publish on a subject, or listen on it, whatever its case is."""
    words = subject.lower().split(".")
    found = []
    for role in ROLES:
        of_role = permissions(role, Scope(partitions=1))
        patterns = of_role.subscribe if listening else of_role.publish
        if any(_matches(pattern.lower().split("."), words) for pattern in patterns):
            found.append(role)
    return found


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if pattern[-1] == ">":
        return len(words) >= len(pattern) and _matches(pattern[:-1] or [ANY], words[: len(pattern) - 1] or [ANY])
    return len(pattern) == len(words) and all(one in (ANY, other) for one, other in zip(pattern, words, strict=True))


# --- what JetStream is asked


def _info(*streams: str) -> Iterator[str]:
    yield from (f"$JS.API.STREAM.INFO.{stream}" for stream in streams)


def _read(*streams: str) -> Iterator[str]:
    """Single messages, and many without a consumer."""
    for stream in streams:
        yield from _info(stream)
        yield from (f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>")


def _follow(*streams: str) -> Iterator[str]:
    """From a sequence on, by a consumer of one's own that acknowledges nothing."""
    for stream in streams:
        yield from _info(stream)
        yield f"$JS.API.STREAM.MSG.GET.{stream}"
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}.*" for verb in ("CREATE", "DELETE", "MSG.NEXT"))


def _take(stream: str, consumer: str) -> Iterator[str]:
    """What a durable consumer delivers, acknowledged; the consumer is made where it is missing."""
    yield from (f"$JS.API.CONSUMER.{verb}.{stream}.{consumer}" for verb in ("CREATE", "INFO", "MSG.NEXT"))
    yield f"$JS.ACK.{stream}.{consumer}.>"


def _wals(scope: Scope) -> list[str]:
    return [subjects.wal_stream(partition) for partition in range(scope.partitions)]


_ALL = "$JS.API.INFO"
_LISTS = ("$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.*")
"""What metrics and the doctor ask for."""
_OBJECTS = ("object.chunk.>", "object.meta.*", "object.pin.>")
_OF_RUNS = ("run.*", "open.*", "joined.*", "collections.*", "count.*", "waiting.*", "decided.*", "takes.*", "limits.*")
"""Questions to owners."""
_STARTS = ("events.>", "queue.>", "on.>", "signals.>", "awaited.>")


# --- the roles


def _publisher(scope: Scope) -> Permissions:
    events = [subject for flow in scope.flows for subject in (f"events.{flow}", f"events.{flow}.>")]
    return Permissions((_ALL, *(events or ["events.>"]), *(() if scope.flows else ("queue.>", "on.>")), "signals.>", "awaited.>"))


def _client(scope: Scope) -> Permissions:
    streams = (subjects.FLEET, subjects.FLOWS, subjects.HISTORY, subjects.EVENTS, subjects.OBJECTS, subjects.SECRETS)
    return Permissions(
        (
            _ALL, "$JS.API.STREAM.NAMES", *_info(ANY), *_read(*streams), *_follow(subjects.FLOWS),
            *_STARTS, "wal.*", *_OBJECTS, *_OF_RUNS, "upload.*", "query.>",
        ),
        ("ended.*", "secret.>"),
    )  # fmt: skip


def _operator(scope: Scope) -> Permissions:
    client = _client(scope)
    verbs = ("CREATE", "UPDATE", "PURGE", "MSG.GET", "MSG.DELETE")
    return Permissions(
        (
            *client.publish, *(f"$JS.API.STREAM.{verb}.*" for verb in verbs), f"$JS.API.STREAM.DELETE.{PROBE}", "$JS.API.DIRECT.GET.>",
            *(f"$JS.API.CONSUMER.{verb}.*.*" for verb in ("CREATE", "DELETE", "INFO", "MSG.NEXT")), *_LISTS,
            f"$JS.API.STREAM.DELETE.{LEFT}", "left.*",
            "flow.>", "plan.*", "trigger.>", "history.*", "dead.*", "secret.>", "topology", "tasks-epoch", "lease.*",
        ),
        client.subscribe,
    )  # fmt: skip


def _trigger(scope: Scope) -> Permissions:
    client = _client(scope)
    queues = (f"$JS.API.STREAM.{verb}.*" for verb in ("CREATE", "UPDATE"))
    return Permissions((*client.publish, *_follow(subjects.FLEET), *queues, "member.*", "dead.*"), client.subscribe, answers=True)


def _worker(scope: Scope) -> Permissions:
    names = [queue_consumer(queue) for queue in scope.queues]
    near = [queue_consumer(queue, host) for queue in scope.queues for host in scope.hosts]
    back = [subject for queue in scope.queues for subject in (f"tasks.{queue}", f"tasks.{queue}.*")] or ["tasks.>"]
    return Permissions(
        (
            _ALL, "$JS.API.STREAM.NAMES",
            *_read(subjects.FLEET, subjects.FLOWS, subjects.OBJECTS), *_follow(subjects.FLEET, subjects.FLOWS),
            *_info(subjects.TASKS, subjects.PROGRESS, subjects.EVENTS),
            *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in (subjects.TASKS, subjects.EVENTS)),
            *(f"$JS.API.STREAM.CREATE.{stream}" for stream in (subjects.TASKS, subjects.PROGRESS)),
            *(each for consumer in names + near or [ANY] for each in _take(subjects.TASKS, consumer)),
            *back, subjects.TASKS_EPOCH, "wal.*", "member.*", "dead.task", *_OBJECTS, "verify.*", "open.*", "upload.*",
        ),
        ("cancel", "upload.*", LEADER_ELECTED),
        answers=True,
    )  # fmt: skip


def _coordinator(scope: Scope) -> Permissions:
    verbs = ("CREATE", "UPDATE", "INFO", "PURGE", "MSG.GET", "MSG.DELETE")
    return Permissions(
        (
            _ALL, "$JS.API.STREAM.NAMES", *(f"$JS.API.STREAM.{verb}.*" for verb in verbs),
            f"$JS.API.STREAM.DELETE.{PROBE}", "$JS.API.DIRECT.GET.>",
            *(f"$JS.API.CONSUMER.{verb}.*.*" for verb in ("CREATE", "DELETE", "INFO", "MSG.NEXT")), *_LISTS,
            *(f"$JS.ACK.{stream}.{consumer}.>" for stream, consumer in _ACKNOWLEDGED),
            "events.>", "tasks.>", subjects.TASKS_EPOCH, "wal.*", "timer.>", "cron.>", "history.*", "dead.*",
            "flow.>", "plan.*", "trigger.>", "member.*", "lease.*", subjects.TOPOLOGY,
            "secret.>", "progress.*", "snapshot.>", *_OBJECTS, "approval.*", "upload.*",
            "ended.*", subjects.CANCEL, *_OF_RUNS, "verify.*", "slots.*",
        ),
        ("verify.*", "slots.*", *_OF_RUNS, "ended.*", subjects.CANCEL, "secret.>"),
        answers=True,
    )  # fmt: skip


_ACKNOWLEDGED = (
    (subjects.EVENTS, ANY), (subjects.TIMERS, FIRED), (subjects.TIMERS, TICKS), (subjects.SIGNALS, SIGNALS), (ANY, "triggers"),
)  # fmt: skip
"""By coordinators: streams and consumers. The last are those of queues and of INBOX."""


def _reader(scope: Scope) -> Permissions:
    followed = (*_wals(scope), subjects.HISTORY, subjects.FLOWS, subjects.FLEET, subjects.DEAD)
    return Permissions(
        (
            _ALL, "$JS.API.STREAM.NAMES", *_info(ANY), *_read(*followed), *_follow(*followed),
            f"$JS.API.STREAM.PURGE.{subjects.HISTORY}", f"$JS.API.STREAM.MSG.DELETE.{subjects.HISTORY}", "member.*", "run.*", "open.*",
        ),
        ("query.>",),
        answers=True,
    )  # fmt: skip


_ROLES = {
    "publisher": _publisher,
    "client": _client,
    "operator": _operator,
    "trigger": _trigger,
    "worker": _worker,
    "coordinator": _coordinator,
    "reader": _reader,
}
ROLES = tuple(_ROLES)
