"""The handover: the value that an attempt is given, and the one that it gives back, with their bytes wherever they lie.

    take    the input, as the node's annotation wants it (views of the arena where it asks for them)
    give    what the node returned, as a payload: large parts in the arena, chunks streamed into it

Giving waits for room in a full arena, for ROOM_WAIT_S at most, where the caller can wait; elsewhere it raises ArenaFull at once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar

from ..broker.arena.settings import ArenaSettings
from ..broker.arena.stream import EntryWriter
from ..broker.codecs.registry import nbytes
from ..broker.payloads.bodies import Key
from ..broker.payloads.layout import LONG_LIST, small_payload
from ..broker.payloads.plane import Plane
from ..broker.payloads.producer import Producer
from ..broker.payloads.room import ROOM_LOOK_S, ROOM_WAIT_S
from ..schemas.effects import Dispatch
from ..schemas.flow.definition import Payloads
from ..schemas.messages import Task
from ..schemas.payload import Payload, encode
from ..schemas.payload import decode as decode_document
from ..schemas.payload_errors import ArenaFull
from ..schemas.ref import Ref, may_hold_ref
from .files import files_for_attempt, make_file
from .streams import chunks_of, is_batches
from .threads import Threads

Result = TypeVar("Result")

HEAVY_BYTES = 1 << 20
"""Encoding more than this takes longer than the event loop should stand still."""


_CONTAINERS = frozenset((dict, list, tuple))
_LIGHT = frozenset((int, float, bool, type(None), dict, list))
READ_IN_PLACE = frozenset(("bytes", "buffer", "numpy", "arrow", "image"))
"""Codecs whose values are views of the arena, whatever their size."""


@dataclass(frozen=True, slots=True)
class Told:
    """A handover on its way to another process of this host. `copies`: where the bodies of other hosts lie in this host's arena."""

    arena: ArenaSettings | None
    copies: Mapping[Key, Ref]
    task: Task
    rules: Payloads
    refs: Sequence[Ref]
    again: bool
    raw: bool
    give_up_at_s: float

    def handover(self) -> Handover:
        """In the other process, which keeps its arena open from one attempt to the next."""
        plane = _planes.get(self.arena)
        if plane is None:
            plane = _planes[self.arena] = Plane(self.arena)
            plane.materialise = make_file
        plane.bodies.adopt(self.copies)
        if self.refs or self.raw:
            _ = plane.arena  # opened now: files for the node belong into its folder, where they are found if this process is killed
        return Handover(plane, self.task, self.rules, self.refs, self.again, self.raw, self.give_up_at_s)


NO_FILES = nullcontext()
_planes: dict[ArenaSettings | None, Plane] = {}


class Handover:
    """Of one attempt. `refs`: those in `given`. `again`: the node is idempotent. `raw`: it wants large `bytes` as views.

    `give_up_at_s`: when to wait for room no more, in monotonic seconds, which are the same in all processes of the host.
    """

    __slots__ = ("_again", "_give_up_at_s", "_task", "given", "plane", "raw", "refs", "rules")

    def __init__(
        self,
        plane: Plane,
        task: Dispatch | Task,
        rules: Payloads,
        refs: Sequence[Ref] = (),
        again: bool = False,
        raw: bool = False,
        give_up_at_s: float = inf,
    ) -> None:
        self.plane, self.given, self.rules, self.refs, self.raw = plane, task.input, rules, refs, raw
        self._task, self._again, self._give_up_at_s = task, again, give_up_at_s

    @property
    def producer(self) -> Producer:
        return Producer(self._task.run, self._task.activation, self._again)

    def give_up(self) -> None:
        """The attempt is over for whoever began it: a thread that is left behind waits for room no more."""
        self._give_up_at_s = -inf

    def told(self) -> Told:
        """This handover as a process of the pool is told of it."""
        task = Task(self._task.run, self._task.activation, self._task.attempt, "", self.given)
        return Told(
            self.plane.settings,
            self.plane.bodies.copies_of(self.refs),
            task,
            self.rules,
            self.refs,
            self._again,
            self.raw,
            self._give_up_at_s,
        )

    def files(self) -> AbstractContextManager[object]:
        """Where files are made for the node, for as long as it is at work."""
        return files_for_attempt(self.plane.files)

    @property
    def is_slow(self) -> bool:
        """Whether taking would keep the event loop standing still."""
        return sum(ref.length for ref in self.refs if ref.codec not in READ_IN_PLACE or ref.path) > HEAVY_BYTES

    def take(self) -> Any:
        """The input. Raises UnreadablePayload, PayloadError."""
        return self.plane.decode(self.given, raw=self.raw)

    def take_unread(self) -> Any:
        """The input with refs in the place of what lies elsewhere, for nodes that only move values about."""
        return decode_document(self.given)

    def give(self, value: Any, *, wait: bool) -> Payload:
        """The payload of a result. Raises UnencodableValue, UnknownCodec, ArenaFull, RunTooLarge, ArenaUnusable."""
        small = small_payload(value, self.rules.inline_max_bytes)
        if small is not None and not (self.refs and may_hold_ref(small)):
            return small
        if is_batches(value):
            return self._stream_table(value, wait)
        chunks = chunks_of(value)
        if chunks is not None:
            return self._stream(chunks, wait)
        layout = self.plane.layout(self.producer, self.rules)  # one for all tries: it knows what it has written already
        try:
            return self._with_room(partial(layout.payload, value), wait)
        finally:
            layout.forget()

    async def streamed(self, chunks: AsyncIterator[memoryview], threads: Threads) -> Ref:
        """The ref of everything that the chunks hold, written as they come. Raises as `give`."""
        with self.plane.stream(self.producer) as writer:
            async for chunk in chunks:
                await threads.run(partial(self._with_room, partial(writer.write, chunk), True))
            return self.plane.finished(writer, self.rules)

    def is_heavy(self, value: Any) -> bool:
        """Whether giving this would keep the event loop standing still."""
        if _has_many(value):
            return True
        parts = value.values() if isinstance(value, dict) else (value,)
        return any(map(_has_many, parts)) or sum(nbytes(part) or 0 for part in parts if type(part) not in _LIGHT) > HEAVY_BYTES

    def opened(self, wait: bool = True, codec: str = "bytes") -> EntryWriter:
        """A new entry to write into."""
        return self._with_room(lambda: self.plane.stream(self.producer, codec), wait)

    def write(self, entry: EntryWriter, data: Any) -> None:
        self._with_room(partial(entry.write, data), True)

    def _stream(self, chunks: Iterable[Any], wait: bool) -> Payload:
        with self.opened(wait) as writer:
            self._write_all(writer, chunks, wait)
            return encode(self.plane.finished(writer, self.rules))

    def _stream_table(self, batches: Any, wait: bool) -> Payload:
        from ..broker.codecs.table import BatchStream

        stream = BatchStream(batches)
        with self.opened(wait, "arrow") as writer:
            self._write_all(writer, stream, wait)
            return encode(self.plane.finished(writer, self.rules, b"table", stream.count))

    def _write_all(self, writer: EntryWriter, chunks: Iterable[Any], wait: bool) -> None:
        for chunk in chunks:
            self._with_room(partial(writer.write, chunk), wait)

    def _with_room(self, write: Callable[[], Result], wait: bool) -> Result:
        try:
            return write()
        except ArenaFull:
            if not wait:
                raise
        until_s = time.monotonic() + ROOM_WAIT_S
        with self.plane.waiters.waiting(self._task.run):
            while True:
                time.sleep(ROOM_LOOK_S)
                try:
                    return write()
                except ArenaFull:
                    if time.monotonic() >= min(until_s, self._give_up_at_s):
                        raise


def _has_many(value: Any) -> bool:
    """Whether it is a list or map so long that nobody should go through it on the event loop."""
    return type(value) in _CONTAINERS and len(value) > LONG_LIST
