"""Nodes that read files which came with an event."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jetfleet.workers import node


@node("files.digest")
def digest(value: dict[str, Any]) -> dict[str, Any]:
    content = value["content"]
    assert isinstance(content, Path)
    return {"name": content.name, "digest": hashlib.sha256(content.read_bytes()).hexdigest()}
