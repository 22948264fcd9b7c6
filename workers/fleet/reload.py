"""Watching the files of own nodes, so that a worker in development starts anew with what was just written.

Looks at modification times; no file system notification, for a handful of files twice a second costs nothing. A change is one when
all changed files can be compiled: what is half written is waited for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from ..registry import Registry

POLL_S = 0.5


class SourceWatch:
    """The files in which the registry's own nodes stand, as they were when this was made."""

    def __init__(self, registry: Registry) -> None:
        self._seen = {path: _modified(path) for path in _files(registry)}

    async def changed(self) -> list[Path]:
        """Returns when files have changed and can be compiled: which ones."""
        while True:
            await asyncio.sleep(POLL_S)
            found = self.look()
            if found:
                return found

    def look(self) -> list[Path]:
        """The files that have changed since the last look; none while one of them cannot be compiled."""
        now = {path: _modified(path) for path in self._seen}
        found = [path for path, modified in now.items() if modified != self._seen[path]]
        if not found:
            return []
        self._seen = now
        broken = next((why for path in found if (why := _broken(path)) is not None), None)
        if broken is not None:
            structlog.get_logger("jetfleet.worker").warning("not reloaded", why=broken)
            return []
        return found


def _files(registry: Registry) -> list[Path]:
    modules = [sys.modules.get(spec.function.__module__) for spec in registry.own().values() if spec.function is not None]
    files = {str(file) for module in modules if (file := getattr(module, "__file__", None))}
    return sorted(Path(file) for file in files | set(registry.files))


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # an editor is replacing it


def _broken(path: Path) -> str | None:
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (OSError, SyntaxError, ValueError) as error:
        return f"{path}: {error}"
    return None
