"""Where a payload is, as a person writes it.

    ref:HOST/SEGMENT/GENERATION/OFFSET[.path]    an entry of an arena, as it is printed
    ref:DIGEST[.path]                            an object of the object store, by the first characters of its name
    RUN:NODE[.path]                              the output of a node, such as `orders-4f2c:load.rows[3]`
    RUN:output[.path], RUN:trigger[.path]        the output of the run, the payload of its event

The `ref:` may be left out where the rest is of the first form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from ...schemas.errors import SelectorError, UsageError
from ...schemas.selectors import parse_path
from ...schemas.values import Path

DIGEST_CHARACTERS_MIN = 6
_ENTRY = re.compile(r"(?:ref:)?([A-Za-z0-9-]{1,64})/([A-Za-z0-9_-]+)/([0-9]{1,19})/([0-9]{1,19})([.\[].*)?", re.ASCII | re.S)
_OBJECT = re.compile(r"ref:([0-9a-f]{1,64})([.\[].*)?", re.ASCII | re.S)
_OUTPUT = re.compile(r"([^:]+):(.+)", re.S)
_HOW = "write a ref as it is printed (`ref:host/segment/1/4096`), or RUN:NODE, RUN:output or RUN:trigger"


@dataclass(frozen=True, slots=True)
class EntryPlace:
    """An entry of an arena; `offset` is where its body begins."""

    host: str
    segment: str
    generation: int
    offset: int
    path: Path = ()

    def __str__(self) -> str:
        return f"ref:{self.host}/{self.segment}/{self.generation}/{self.offset}"


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object whose name begins with these characters."""

    prefix: str
    path: Path = ()

    def __str__(self) -> str:
        return f"ref:{self.prefix}"


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """An output of a run. `inside` is the node's key and the path into its output, still in one: only the run knows its nodes' keys."""

    run: str
    inside: str

    def __str__(self) -> str:
        return f"{self.run}:{self.inside}"


Place: TypeAlias = EntryPlace | ObjectPlace | OutputPlace


def parse_place(text: str) -> Place:
    """Raises UsageError for what is no place."""
    if found := _ENTRY.fullmatch(text):
        host, segment, generation, offset, path = found.groups()
        return EntryPlace(host, segment, int(generation), int(offset), path_in(path or "", text))
    if found := _OBJECT.fullmatch(text):
        prefix, path = found.groups()
        if len(prefix) < DIGEST_CHARACTERS_MIN:
            raise UsageError(f"{text!r} has too little of the digest; give at least {DIGEST_CHARACTERS_MIN} characters of it")
        return ObjectPlace(prefix, path_in(path or "", text))
    if not text.startswith("ref:") and (found := _OUTPUT.fullmatch(text)):
        return OutputPlace(found[1], found[2])
    raise UsageError(f"{text!r} is no place of a payload; {_HOW}")


def path_in(path: str, text: str) -> Path:
    """The path behind the name of something in `text`, as it is written: `.rows[3].id`. Raises UsageError."""
    try:
        return parse_path(path.removeprefix("."))
    except SelectorError as error:
        raise UsageError(f"in {text!r} {error}") from None
