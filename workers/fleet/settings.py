"""Settings of a fleet worker, and the limits that it keeps to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ...broker.arena.settings import ArenaSettings
from ...broker.credentials import Credentials
from ...schemas import subjects
from ...schemas.errors import UsageError
from ...schemas.subjects import QUEUE_DEFAULT, URL_DEFAULT

CONCURRENCY_DEFAULT = 64
PREFETCH = 2
"""Messages that may wait in this process while all slots are taken, so that a slot need not wait for the server."""
PREFETCH_ATTEMPT_MAX_US = 20_000
"""Where attempts take longer on average nothing is fetched ahead: another worker may have a slot for it."""
UNACKNOWLEDGED_MAX = 512
"""Messages that are executed and whose completions are not on disk yet. With more, nothing is pulled until the log catches up."""
STOP_DEADLINE_S = 10.0
"""How long `stop` waits for what is in work."""
SUSPECT_DEATHS = 2
"""After so many deaths of its worker a task is executed in a process of its own."""
LIVES = 4
"""Times `max_deliveries`: after so many deaths of workers a task is poison, whatever it was that they died of."""
POISON = "poison_task"
PAYLOAD_TOO_LARGE = "payload_too_large"
DEATHS_HEADER = subjects.DEATHS_HEADER


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`url`: of the server; several with commas between them. `concurrency`: attempts at once. `processes`: size of the pool for nodes
    in processes. `data`: where the in-flight ledger lies.

    `slot` names the ledger: who starts in a slot gives back what its predecessor had in work. None: the first free one.
    `max_deliveries`: how often a task may take down what executes it, a worker or a process of its own, before it is failed.
    `arena`: by default in the folder `arena` of `data`.
    """

    url: str = URL_DEFAULT
    credentials: Credentials | None = None
    queues: tuple[str, ...] = (QUEUE_DEFAULT,)
    concurrency: int = CONCURRENCY_DEFAULT
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    data: Path = Path(".jetfleet")
    slot: str | None = None
    max_deliveries: int = 5
    arena: ArenaSettings | None = None

    @property
    def arena_settings(self) -> ArenaSettings:
        return self.arena or ArenaSettings(self.data / "arena")

    def __post_init__(self) -> None:
        if not self.queues:
            raise UsageError("a worker needs at least one queue to take tasks from")
        if self.slot is not None and (not self.slot or not self.slot.replace("-", "").replace("_", "").isalnum()):
            raise UsageError(f"the slot {self.slot!r} becomes part of a file's name: use letters, digits, - and _")
