"""A happening: what a version of a file is, compared with what is remembered of it; and the firing that tells of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ...broker.triggers.firing import Firing
from ...schemas.errors import JetfleetError
from .entry import Entry, key_of, readable, time_text

CREATE, MODIFY, REMOVE, RENAME = "create", "modify", "remove", "rename"


@dataclass(frozen=True, slots=True)
class Happening:
    """`entry`: the file; of one that was removed, as it was last. `old_path`: what a renamed one was called."""

    change: str
    entry: Entry
    old_path: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.entry.path, self.old_path) if self.old_path else (self.entry.path,)


def firing_of(happening: Happening, content: Any) -> Firing:
    """`content`: None for none; an error if it cannot be had: then every flow refuses the firing for it, with all but the content."""
    key = key_of(happening.entry, happening.change)
    payload = payload_of(happening)
    meta = {"event": happening.change, "path": payload["path"]}
    if isinstance(content, JetfleetError):
        return Firing(key, payload, meta, happening, error=content)
    if content is not None:
        payload["content"] = content
    return Firing(key, payload, meta, happening)


def payload_of(happening: Happening) -> dict[str, Any]:
    """What nodes read, without content."""
    path, mark, _ = happening.entry
    text = readable(path)
    payload: dict[str, Any] = {
        "path": text,
        "name": text.rpartition("/")[2],
        "event": happening.change,
        "size": mark.size,
        "modified_at": time_text(mark.mtime_ns),
        "inode": mark.inode,
    }
    if happening.old_path:
        payload["old_path"] = readable(happening.old_path)
    if not path.isascii() and "\\" in text:  # perhaps bytes that are no UTF-8: whoever opens the file needs them as they are
        payload["path_bytes"] = os.fsencode(path)
    return payload
