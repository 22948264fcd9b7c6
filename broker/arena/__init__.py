"""The arena: large values in memory-mapped files, shared by the processes of a host. See docs/payloads.md."""

from .arena import Arena
from .counters import ArenaCounters
from .settings import ArenaSettings
from .stream import EntryWriter

__all__ = ["Arena", "ArenaCounters", "ArenaSettings", "EntryWriter"]
