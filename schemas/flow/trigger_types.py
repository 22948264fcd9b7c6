"""The catalogue of trigger types. The models of their params are in `triggers/`, one type per file.

Every type is also known as `trigger::<name>`. Which paths a filesystem trigger may watch, and whether a port is free, is
decided where the trigger runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .definition import Block
from .triggers.cron import CronParams
from .triggers.filesystem import FilesystemParams
from .triggers.kafka import KafkaParams
from .triggers.manual import ManualParams
from .triggers.memory import MemoryParams
from .triggers.queue import QueueParams
from .triggers.webhook import WebhookParams

PREFIX = "trigger::"


@dataclass(frozen=True, slots=True)
class TriggerType:
    """One trigger type."""

    name: str
    params: type[Block]
    summary: str


TRIGGER_TYPES: Mapping[str, TriggerType] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            TriggerType("webhook", WebhookParams, "An HTTP request"),
            TriggerType("cron", CronParams, "A time on a schedule"),
            TriggerType("filesystem", FilesystemParams, "A change of a file"),
            TriggerType("queue", QueueParams, "A message in a queue"),
            TriggerType("kafka", KafkaParams, "A record of a Kafka topic"),
            TriggerType("manual", ManualParams, "A call by hand"),
            TriggerType("memory", MemoryParams, "A call from the same process"),
        )
    }
)


def trigger_type(name: str) -> TriggerType | None:
    """The trigger type of this name, short or with the prefix; None if there is none."""
    return TRIGGER_TYPES.get(name.removeprefix(PREFIX))


def suggest(name: str) -> str | None:
    """The trigger type whose name is nearest to `name`, if any is near."""
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), TRIGGER_TYPES, n=1)
    return near[0] if near else None


def parse_params(entry: TriggerType, raw: Any) -> Block:
    """The params in their normal form; None counts as empty. Raises pydantic.ValidationError."""
    return entry.params.model_validate({} if raw is None else raw)
