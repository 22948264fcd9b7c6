"""Builds a tree of values with their positions from the parser's events, one event at a time.

No recursion: depth, number of values and what aliases expand to are checked as the events arrive, so a hostile text is
refused before it costs anything. Faults that leave the tree whole (a key twice, a foreign tag) are collected;
faults that do not raise InvalidFlow with everything found so far.

Aliases share the item they name, so a value that came through an alias is located where it is written. The merge key
`<<` is understood; keys are always text, as in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from ..errors import InvalidFlow
from ..flow.problems import Problem
from .scalars import COLLECTION_TAGS, SCALAR_TAGS, convert, resolve


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a text may cost. `depth`: a scalar counts 1, each container around it 1 more."""

    bytes: int = 10 * 1024 * 1024
    depth: int = 100
    values: int = 500_000
    """Written in the text. A flow of 10 MiB has fewer; a list of millions of zeros would have more."""
    expanded: int = 100_000
    """Values that aliases repeat, in all: room for honest reuse, none for a bomb."""


Position = tuple[int, int]
"""Line and column, counted from 1."""


@dataclass(slots=True)
class Item:
    """A value and where it stands. `size` and `height` count what aliases expand to."""

    value: Any
    position: Position
    size: int = 1
    height: int = 1
    children: dict[str, Item] | list[Item] | None = None
    keys: dict[str, Position] = field(default_factory=dict)

    def put(self, key: str, at: Position, child: Item) -> None:
        assert isinstance(self.children, dict)
        self.children[key], self.keys[key], self.value[key] = child, at, child.value
        self._grow(child)

    def append(self, child: Item) -> None:
        assert isinstance(self.children, list)
        self.children.append(child)
        self.value.append(child.value)
        self._grow(child)

    def _grow(self, child: Item) -> None:
        self.size += child.size
        self.height = max(self.height, child.height + 1)


@dataclass(slots=True)
class _Open:
    """A container whose end has not come yet; in a mapping, `key` waits for its value."""

    item: Item
    anchor: str | None
    key: str | None = None
    key_at: Position = (0, 0)
    merging: bool = False
    merged: list[Item] = field(default_factory=list)


class TreeBuilder:
    """Takes the events of one document; `root` is None if there was none."""

    def __init__(self, file: str, limits: ReadLimits) -> None:
        self.root: Item | None = None
        self.problems: list[Problem] = []
        self._file, self._limits = file, limits
        self._open: list[_Open] = []
        self._anchors: dict[str, Item] = {}
        self._written = self._expanded = self._documents = 0
        self._handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def feed(self, event: Any) -> None:
        """Take the next event. Raises InvalidFlow when the tree cannot be completed."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(
                _start(event), "MULTIPLE_DOCUMENTS", "the file holds more than one document", "keep one flow per file; remove the `---`"
            )

    def _scalar(self, event: Any) -> None:
        at = _start(event)
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and isinstance(top.item.children, dict):
            self._key(top, event, at)
        else:
            self._count(at)
            self._place(Item(self._scalar_value(event, at), at), event.anchor)

    def _key(self, mapping: _Open, event: Any, at: Position) -> None:
        mapping.key, mapping.key_at = event.value, at
        mapping.merging = event.value == "<<" and event.implicit[0]
        if event.tag is not None and event.tag not in SCALAR_TAGS:
            self._unknown_tag(event.tag, at)
        first = mapping.item.keys.get(event.value)
        if first is not None:
            self._report(
                at, "DUPLICATE_KEY", f"the key `{event.value}` is written twice", f"it is already in line {first[0]}; keep one of the two"
            )

    def _scalar_value(self, event: Any, at: Position) -> Any:
        if event.tag is not None and event.tag != "!" and event.tag not in SCALAR_TAGS:
            self._unknown_tag(event.tag, at)
            return event.value
        try:
            if event.tag in SCALAR_TAGS:
                return convert(event.value, event.tag)
            return resolve(event.value) if event.implicit[0] and event.tag is None else event.value
        except ValueError as error:
            self._report(at, "INVALID_VALUE", str(error), "quote it if text is meant")
            return event.value

    def _start(self, event: Any) -> None:
        at = _start(event)
        mapping = type(event) is yaml.MappingStartEvent
        if event.tag not in (None, "!", COLLECTION_TAGS["mapping" if mapping else "sequence"]):
            self._unknown_tag(event.tag, at)
        self._refuse_as_key(at)
        self._count(at)
        item = Item({}, at, children={}) if mapping else Item([], at, children=[])
        self._open.append(_Open(item, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        for source in done.merged:
            assert isinstance(source.children, dict)
            for key, child in source.children.items():
                if key not in done.item.keys:
                    done.item.put(key, source.keys[key], child)
        self._place(done.item, done.anchor)

    def _alias(self, event: Any) -> None:
        at = _start(event)
        self._refuse_as_key(at)
        if any(container.anchor == event.anchor for container in self._open):
            self._stop(
                at, "ALIAS_BOMB", f"the alias `*{event.anchor}` stands inside the value that it names", "a value cannot contain itself"
            )
        item = self._anchors.get(event.anchor)
        if item is None:
            self._stop(
                at, "SYNTAX", f"the alias `*{event.anchor}` names nothing", f"put `&{event.anchor}` before the value it shall repeat"
            )
        self._expanded += item.size
        if self._expanded > self._limits.expanded:
            self._stop(
                at, "ALIAS_BOMB", f"the aliases repeat more than {self._limits.expanded:,} values", "write the values out, or repeat less"
            )
        self._check_depth(len(self._open) + item.height, at)
        self._place(item, None)

    def _place(self, item: Item, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = item
        if not self._open:
            self.root = item
            return
        top = self._open[-1]
        if top.key is None:
            top.item.append(item)
            return
        if top.merging:
            top.merged += self._merge_sources(item)
        elif top.key not in top.item.keys:
            top.item.put(top.key, top.key_at, item)
        top.key = None

    def _merge_sources(self, item: Item) -> list[Item]:
        sources = item.children if isinstance(item.children, list) else [item]
        if not all(isinstance(source.children, dict) for source in sources):
            self._report(
                item.position, "INVALID_TYPE", "`<<` merges a mapping or a list of mappings", "write `<<: *name` or `<<: [*a, *b]`"
            )
            return []
        return list(sources)

    def _count(self, at: Position) -> None:
        self._written += 1
        if self._written > self._limits.values:
            self._stop(at, "LIMIT_EXCEEDED", f"the file holds more than {self._limits.values:,} values", "move data out of the flow")
        self._check_depth(len(self._open) + 1, at)

    def _check_depth(self, depth: int, at: Position) -> None:
        if depth > self._limits.depth:
            self._stop(at, "LIMIT_EXCEEDED", f"the nesting is deeper than {self._limits.depth} levels", "flatten the value")

    def _refuse_as_key(self, at: Position) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and isinstance(top.item.children, dict):
            self._stop(at, "SYNTAX", "a key must be plain text", "put quotes around a text that begins with `{`, `[` or `*`")

    def _unknown_tag(self, tag: str, at: Position) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        self._report(
            at, "UNKNOWN_TAG", f"the tag `{shown}` is not supported", "a flow is plain data: remove the tag, and write included text out"
        )

    def _report(self, at: Position, code: str, message: str, hint: str) -> None:
        self.problems.append(Problem(code, message, hint=hint).at(self._file, *at))

    def _stop(self, at: Position, code: str, message: str, hint: str) -> NoReturn:
        self._report(at, code, message, hint)
        raise InvalidFlow(self.problems)


def _start(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1
