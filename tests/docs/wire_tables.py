"""The tables of the protocol page: read from it, and worked out from the code that writes and reads the bytes.

A table stands below a line `<!-- fields: Name -->` or `<!-- table: name -->`; cells in backticks are read without them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from jetfleet.broker.coordinator.owner import Progress
from jetfleet.broker.coordinator.snapshots import Manifest, Segment
from jetfleet.broker.deployment import Deployed
from jetfleet.broker.objects.meta import Meta
from jetfleet.broker.objects.pins import Pin
from jetfleet.broker.payloads import remote
from jetfleet.schemas import messages, records, ref
from jetfleet.schemas.messages import AttemptId, BatchedEvent, Ended, Task, encode_all
from jetfleet.schemas.payload import NULL, encode
from jetfleet.schemas.records import Completion, Error, SignalReceived
from jetfleet.schemas.ref import Coded, Ref

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
REQUIRED = "–"
KINDS = {
    "str": "text", "Content": "text", "Fate": "text", "int": "integer", "Moment": "integer", "Milliseconds": "integer", "Count": "integer", "bool": "true or false", "float": "number", "bytes": "bytes", "Payload": "payload", "Any": "anything",
    "tuple[int | str, ...]": "activation", "tuple[str | int, ...]": "path", "tuple[str, tuple[int | str, ...]]": "[text, activation]",
    "tuple[Payload, ...]": "list of payload", "list[msgspec.Raw]": "list of record", "list[Segment]": "list of Segment",
    "tuple[int, ...]": "list of integer", "tuple[tuple[int, int, int], ...]": "list of [integer, integer, integer]",
    "tuple[str, ...]": "list of text", "dict[str, Drain]": "map of Drain",
    "dict[str, str]": "map of text", "dict[str, tuple[str, ...]]": "map of lists of text", "dict[str, Any]": "map",
    "list[tuple[str, str, str | None, int]]": "list of [text, text, text or nil, integer]",
    "list[tuple[str, str, str, int | None]]": "list of [text, text, text, integer or nil]",
}  # fmt: skip
"""What the page calls a kind of value, by the annotation of a field. Another Struct is called by its name."""


def _structs(module: Any) -> dict[str, type[msgspec.Struct]]:
    found = vars(module).items()
    return {
        name: each
        for name, each in found
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__module__ == module.__name__
    }


STRUCTS: dict[str, type[msgspec.Struct]] = {
    **_structs(records), **_structs(messages), "Progress": Progress, "Manifest": Manifest, "Segment": Segment, "Deployed": Deployed,
    "Meta": Meta, "Pin": Pin, "Ref": ref._Fields, "Answer": remote.Answer,
}  # fmt: skip

KEY = bytes(range(32))
"""The key of the page's example of an encrypted object, whose name is `main`."""

_RUN, _DIGEST, _AT = "orders-bbf41e60e12f5f3a", "ab" * 32, 1_750_000_000_000
_REF = Ref(
    "numpy", 240_000, 0x1A2B3C4D, "host-1f", "w-1", 1, 4_160, b"('<f8', (10000, 3), False)", 10_000, run=_RUN, activation=(0,), again=True
)
_CODED = Coded("numpy", b"('<i8', (2,), False)", bytes([1, *bytes(7), 2, *bytes(7)]), count=2)
EXAMPLES = {
    'the value `{"n": 1}`': encode({"n": 1}),
    'events `[BatchedEvent("o-1", {"n": 1})]`': encode_all([BatchedEvent("o-1", encode({"n": 1}))]),
    'tasks `[Task(run, [0], 1, digest, {"n": 1})]`': encode_all([Task(_RUN, (0,), 1, _DIGEST, encode({"n": 1}))]),
    "question `[AttemptId(run, [0], 1)]`": encode_all([AttemptId(_RUN, (0,), 1)]),
    "answer `[true]`": encode([True]),
    'records `[Completion(run, at, [0], 1, "out", {"n": 2})]`': encode_all([Completion(_RUN, _AT, (0,), 1, "out", encode({"n": 2}))]),
    'records `[Completion(run, at, [0], 1, error: Error("timeout", "too slow"))]`': encode_all(
        [Completion(_RUN, _AT, (0,), 1, error=Error("timeout", "too slow"))]
    ),
    'records `[SignalReceived(run, at, "approve", {"decision": "approve"}, "s-1")]`': encode_all(
        [SignalReceived(_RUN, _AT, "approve", encode({"decision": "approve"}), "s-1")]
    ),
    'the value `{"rows": ref}`': encode({"rows": _REF}),
    "the value `[coded]`": encode([_CODED]),
    'notice `[Ended(run, "completed", at, {"n": 2})]`': encode_all([Ended(_RUN, "completed", _AT, encode({"n": 2}))]),
}
"""What the page shows as bytes."""


def fields(struct: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    """(place in the array, name, kind, default) of each field. Before those of a record its kind stands, at place 0."""
    first = 0 if struct.__struct_config__.tag is None else 1
    return [
        (str(place), field.name, _kind(struct.__annotations__[field.name]), _default(field))
        for place, field in enumerate(msgspec.structs.fields(struct), first)
    ]


def rows(kind: str, name: str) -> list[list[str]]:
    """The cells of a table of the page."""
    text = PAGE.read_text().partition(f"<!-- {kind}: {name} -->\n")[2]
    lines = text.partition("\n\n")[0].splitlines()[2:]
    return [[_bare(cell.strip()) for cell in line.strip("|").split(" | ")] for line in lines]


def names(kind: str) -> list[str]:
    return re.findall(rf"^<!-- {kind}: (\w+) -->$", PAGE.read_text(), re.MULTILINE)


def _bare(cell: str) -> str:
    return cell[1:-1] if re.fullmatch("`[^`]*`", cell) else cell


def _kind(annotation: str) -> str:
    optional = annotation.removesuffix(" | None")
    kind = KINDS.get(optional) or (optional if optional in STRUCTS else None)
    assert kind is not None, f"the page has no word for {annotation}"
    return kind if optional == annotation else f"{kind} or nil"


def _default(field: Any) -> str:
    if field.required:
        return REQUIRED
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or value == NULL:
        return "nil"
    if value == b"":
        return '""'
    return "[]" if value == () else msgspec.json.encode(value).decode()
