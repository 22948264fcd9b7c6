"""The adapters to the world outside: webhook, filesystem, kafka, manual, memory; and the process that serves them.

    from jetfleet.broker.api import Client
    from jetfleet.triggers import Triggers, inject

    async with await Client.connect() as client, Triggers(client, types=("memory",)) as triggers:
        fate = await inject(triggers, "orders", "in", {"id": 7})

The contract that they fulfil, and what looks after them, is in `jetfleet.broker.triggers`.
"""

from ..broker.triggers.firing import Fate, Firing
from ..broker.triggers.service import Triggers
from ..broker.triggers.source import Source, SourceBroken, SourceFailed
from .injected import NotFired, inject

__all__ = ["Fate", "Firing", "NotFired", "Source", "SourceBroken", "SourceFailed", "Triggers", "inject"]
