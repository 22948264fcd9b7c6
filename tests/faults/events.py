"""Which runs an event asks for: by its subject, its headers and its bytes, as docs/protocol.md says, without the code that takes events in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from jetfleet.schemas import subjects


def runs_of_event(subject: str, headers: Mapping[str, str], data: bytes) -> list[str]:
    """The ids of the runs; none for an event without a key, whose run cannot be told from outside."""
    prefix, _, rest = subject.partition(".")
    flow = rest.partition(".")[0]
    if prefix != "events" or not flow:
        return []
    known = {name.lower(): value for name, value in headers.items()}
    keys = _keys(data) if known.get("jetfleet-batch") else [known.get("nats-msg-id", "")]
    return [subjects.run_id(flow, key) for key in keys if key]


def _keys(data: bytes) -> list[str]:
    try:
        return [str(entry[0]) for entry in msgspec.msgpack.decode(data, type=list[list[Any]])]
    except (msgspec.MsgspecError, IndexError, TypeError):
        return []
