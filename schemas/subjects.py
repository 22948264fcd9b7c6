"""Subjects: every name on the broker, built and taken apart in one place. docs/protocol.md lists them for other languages.

events.<flow>.<trigger>     an event; `events.<flow>` where the flow has one trigger, or none
queue.<name>, queue.<name>.…   a message for the triggers of a queue
on.<subject>                a message for the triggers whose patterns match
tasks.<queue>               batches of tasks                          (memory)
tasks.<queue>.<host>        those whose payloads lie in the arena of a host (memory)
wal.<partition>             batches of records: the truth
timer.<partition>.<digest>  a schedule that fires on `fired.<partition>`
cron.<flow>.<trigger>       the next time of a cron trigger: a schedule that fires on `tick.<flow>.<trigger>`
history.<flow>              journals, in parts
dead.<kind>                 what could not be read or placed
flow.<name>, plan.<digest>  which version of a flow is current; a version's definition
flow.<name>.state           whether a flow is paused or draining
trigger.<flow>.<trigger>    whether a trigger is paused or disabled
member.<id>, lease.<p>      who is there; who owns a partition
topology                    how many partitions and replicas were deployed
progress.<p>                how far the owner's effects have been acknowledged   (memory)
snapshot.<p>.…              the open runs of a partition
object.chunk.<name>.<n>     a chunk of a large payload
object.meta.<name>          how long it is, and whether it is whole
object.pin.<run>.<digest>   a run needs it
secret.<what>               a secret of the deployment
signals.<run>.<name>        a signal for a run; awaited.<event>: an event for the runs that wait for it
approval.<flow>             a run of the flow began to wait for somebody to decide
waiting.<p>, decided.<p>, takes.<p>   questions to the owner about runs that wait      (not stored)
verify.<p>, run.<p>, open.<p>, joined.<p>, collections.<p>   questions to a partition's owner          (not stored)
slots.<p>, limits.<p>       which slots its runs need; how the limits are that live there (not stored)
count.<p>                   another: how many runs of a flow are open     (not stored)
ended.<p>, cancel           notices: runs that ended, tasks no longer wanted   (not stored)
query.<what>                questions to the read model                   (not stored)
"""

from __future__ import annotations

import re
from hashlib import sha256
from zlib import crc32

EVENTS, TASKS, TIMERS, HISTORY, DEAD, FLOWS, FLEET, PROGRESS, SNAPSHOTS, OBJECTS = (
    "EVENTS", "TASKS", "TIMERS", "HISTORY", "DEAD", "FLOWS", "FLEET", "PROGRESS", "SNAPSHOTS", "OBJECTS",
)  # fmt: skip
SIGNALS, APPROVALS = "SIGNALS", "APPROVALS"
SECRETS = "SECRETS"
"""Apart from FLEET, which every process reads."""
INBOX = "INBOX"
"""The stream of messages on subjects that flows listen to."""
TASKS_EPOCH = "tasks-epoch"
"""A message in TASKS that is there as long as the memory behind it: a new one means that all tasks before it are lost."""
TOPOLOGY = "topology"
EPOCH_HEADER = "Jetfleet-Epoch"
"""On messages of tasks: the epoch in which they were first published. A publish that is repeated after the server lost its memory comes
with the old one, and its tasks may have been executed: a worker asks the owner first."""
DEATHS_HEADER = "Jetfleet-Deaths"
"""On a message of tasks that was given back: how many workers have died of it. Without: none. The server's own count comes on top."""
CANCEL = "cancel"
QUEUE_DEFAULT = "default"
URL_DEFAULT = "nats://127.0.0.1:4222"
"""Where a fleet's server is, unless somebody says otherwise."""

_NO_WORD = re.compile(r"[^A-Za-z0-9_-]")
_WORD_MAX = 200


def partition_of(run: str, partitions: int) -> int:
    """The partition that a run belongs to: CRC-32 of its id in UTF-8, modulo their number."""
    return crc32(run.encode()) % partitions


def run_id(flow: str, key: str) -> str:
    """The id of the run that an event starts: the same flow and idempotency key, the same run."""
    return f"{flow}-{sha256(f'{flow} {key}'.encode()).hexdigest()[:16]}"


def is_word(text: str) -> bool:
    """Whether a text that came from outside can be one word of a subject as it stands."""
    return 0 < len(text) <= _WORD_MAX and _NO_WORD.search(text) is None


def partition_in(subject: str, partitions: int) -> int | None:
    """The partition that the last word of a subject names; None if it names none: anybody may publish on `fired.²`."""
    word = subject.rpartition(".")[2]
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 10 else partitions
    return number if number < partitions else None


def collector(flow: str, key: str) -> str:
    """The id of what collects the flow's events with this key. No run's id begins with `=`. A key that is long, or begins so, is hashed."""
    word = f"={sha256(key.encode()).hexdigest()}" if len(key) > _WORD_MAX or key.startswith("=") else key
    return f"=collect:{flow}:{word}"


def wal_stream(partition: int) -> str:
    return f"WAL_{partition}"


def wal(partition: int) -> str:
    return f"wal.{partition}"


def event(flow: str, trigger: str | None = None) -> str:
    return f"events.{flow}" if trigger is None else f"events.{flow}.{trigger}"


def queue(name: str, rest: str = "") -> str:
    """Where messages for a queue go; `rest`: further words, as the sender likes."""
    return f"queue.{name}.{rest}" if rest else f"queue.{name}"


def queue_stream(name: str) -> str:
    return f"QUEUE_{name}"


def on(subject: str) -> str:
    """Where messages on a subject that flows may listen to are published."""
    return f"on.{subject}"


def tasks(queue: str, host: str = "") -> str:
    """`host`: the arena whose workers take them first; "": anybody's."""
    return f"tasks.{queue}.{host}" if host else f"tasks.{queue}"


def timer(partition: int, name: str) -> str:
    """A schedule's subject; the name of the timer may hold anything, so it is hashed."""
    return f"timer.{partition}.{sha256(name.encode()).hexdigest()[:32]}"


def fired(partition: int) -> str:
    return f"fired.{partition}"


def cron(flow: str, trigger: str) -> str:
    return f"cron.{flow}.{trigger}"


def tick(flow: str, trigger: str) -> str:
    return f"tick.{flow}.{trigger}"


def history(flow: str) -> str:
    return f"history.{flow}"


def dead(kind: str) -> str:
    """`kind`: event, record, task, signal."""
    return f"dead.{kind}"


def current_flow(name: str) -> str:
    return f"flow.{name}"


def flow_state(name: str) -> str:
    return f"flow.{name}.state"


def trigger_state(flow: str, trigger: str) -> str:
    return f"trigger.{flow}.{trigger}"


def plan(digest: str) -> str:
    return f"plan.{digest}"


def member(id: str) -> str:
    return f"member.{id}"


def lease(partition: int) -> str:
    return f"lease.{partition}"


def progress(partition: int) -> str:
    return f"progress.{partition}"


def verify(partition: int) -> str:
    return f"verify.{partition}"


def run(partition: int) -> str:
    return f"run.{partition}"


def upload(host: str) -> str:
    """`host`: the arena whose processes take the question."""
    return f"upload.{host}"


def joined(partition: int) -> str:
    return f"joined.{partition}"


def collections(partition: int) -> str:
    return f"collections.{partition}"


def run_states(partition: int) -> str:
    return f"open.{partition}"


def count(partition: int) -> str:
    return f"count.{partition}"


def ended(partition: int | str) -> str:
    return f"ended.{partition}"


def object_chunk(name: str, n: int | str) -> str:
    return f"object.chunk.{name}.{n}"


def object_meta(name: str) -> str:
    return f"object.meta.{name}"


def object_pin(run: str, digest: str) -> str:
    """The id of a run as one word: what is no letter, digit, _ or - becomes =xx, in hex; a very long one is hashed."""
    word = _NO_WORD.sub(lambda found: "".join(f"={byte:02x}" for byte in found[0].encode()), run)
    if not 0 < len(word) <= _WORD_MAX:
        word = f"={sha256(run.encode()).hexdigest()}"
    return f"object.pin.{word}.{digest}"


def signal(run: str, name: str) -> str:
    """Where any program sends a signal, or the answer to an approval, to a run."""
    return f"signals.{run}.{name}"


def awaited(event: str) -> str:
    """Where any program sends an event to all runs that wait for it."""
    return f"awaited.{event}"


def approval(flow: str) -> str:
    return f"approval.{flow}"


def secret(what: str) -> str:
    return f"secret.{what}"


def waiting(partition: int) -> str:
    return f"waiting.{partition}"


def decided(partition: int) -> str:
    return f"decided.{partition}"


def takes(partition: int) -> str:
    return f"takes.{partition}"


def slots(partition: int) -> str:
    return f"slots.{partition}"


def limits(partition: int) -> str:
    return f"limits.{partition}"


def query(what: str) -> str:
    return f"query.{what}"
