"""Context: what node code may know of its attempt, and its way to the outside world.

A node asks for it by annotating a parameter: `async def charge(order: Order, context: Context)`. Creating one costs next to nothing:
every part is made when it is first asked for.

Everything that looks random or new (`rng`, `uuid`) is derived from the idempotency key: a second attempt draws the same numbers and
ids as the first one, so what it sends to other systems can be recognised as a repetition.
"""

from __future__ import annotations

import random
import uuid
from collections import ChainMap
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from ..schemas.errors import UsageError
from .cancellation import Cancellation
from .clock import Clock
from .handover import Handover
from .http_client import HttpClient
from .identity import Identity
from .kafka_client import KafkaClient
from .logs import NodeLog
from .payload_writer import PayloadWriter
from .providers import Files, Services
from .secrets import Secrets

_NAMESPACE = uuid.UUID("5b2c1f0e-7a34-5d0b-9f5e-3f1d8a6c2e47")


class Context:
    """See the module."""

    __slots__ = ("_config", "_copied", "_env", "_handover", "_log", "_rng", "_services", "_uuids", "cancelled", "identity")

    def __init__(
        self,
        identity: Identity,
        services: Services,
        config: Any = None,
        env: Mapping[str, str] | None = None,
        cancelled: Cancellation | None = None,
        handover: Handover | None = None,
    ) -> None:
        self._handover = handover
        self.identity = identity
        self._config = config
        self._copied = False
        self.cancelled = cancelled if cancelled is not None else Cancellation()
        self._services = services
        self._env = env or {}
        self._log: NodeLog | None = None
        self._rng: random.Random | None = None
        self._uuids = 0

    @property
    def run_id(self) -> str:
        return self.identity.run_id

    @property
    def node(self) -> str:
        return self.identity.node

    @property
    def attempt(self) -> int:
        """Counted from 1."""
        return self.identity.attempt

    @property
    def iteration(self) -> int | None:
        """Of the innermost loop or split around the node, counted from 0; None outside of them."""
        return self.identity.iteration

    @property
    def idempotency_key(self) -> str:
        """Give this to other systems: it is the same whenever this piece of work is tried again, and unique to it."""
        return self.identity.idempotency_key

    @property
    def config(self) -> Any:
        """The node's config with its selectors resolved; a copy, since one config serves all runs."""
        if not self._copied:
            self._config, self._copied = deepcopy(self._config), True
        return self._config

    @property
    def clock(self) -> Clock:
        return self._services.clock

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.fromtimestamp(self._services.clock.now_ms() / 1_000, UTC)

    @property
    def rng(self) -> random.Random:
        """Random numbers, the same ones in every attempt. Not for cryptography."""
        if self._rng is None:
            self._rng = random.Random(self.idempotency_key)
        return self._rng

    def uuid(self) -> uuid.UUID:
        """A new id; the n-th call gives the same one in every attempt."""
        self._uuids += 1
        return uuid.uuid5(_NAMESPACE, f"{self.idempotency_key}/{self._uuids}")

    @property
    def http(self) -> HttpClient:
        """For code that runs in the event loop (mode async)."""
        return self._services.http

    @property
    def kafka(self) -> KafkaClient:
        """For code that runs in the event loop (mode async)."""
        return self._services.kafka

    @property
    def fs(self) -> Files:
        return self._services.fs

    @property
    def env(self) -> Mapping[str, str]:
        """The flow's `settings.env` over the worker's own environment."""
        return ChainMap(dict(self._env), dict(self._services.environ))

    @property
    def secrets(self) -> Secrets:
        return self._services.secrets

    @property
    def log(self) -> NodeLog:
        if self._log is None:
            self._log = NodeLog(self._services.secrets, {"run": self.run_id, "node": self.node, "attempt": self.attempt})
        return self._log

    def writer(self) -> PayloadWriter:
        """A file to write a large output into, piece by piece: `with context.writer() as out: …; return out.value`.

        Raises UsageError in mode inline.
        """
        if self._handover is None:
            raise UsageError(f"node {self.node!r}: a node of mode inline cannot write piece by piece; give it mode='thread'")
        return PayloadWriter(self._handover)

    def heartbeat(self, detail: Any = None) -> None:
        """Say that the attempt is alive, and how far it is. `detail` is any JSON-like value."""
        self._services.report(self.identity, detail)

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """A heartbeat that says how much of the work is done."""
        self.heartbeat({"done": done, "total": total, "text": text})
