"""Changes: what a number of messages means for the tables, collected in memory and written in one go.

    WAL_<p>    RunStarted, RunReopened: the run is open. PauseRequested, ResumeRequested: it is paused, or not. Nothing else is looked at
    HISTORY    a Part: where records are; its Summary: the run has ended. The first Part of an open run begins with its RunStarted
    DEAD       a letter

Guarantees: writing the same messages again, or the two streams in any order, gives the same rows; a run that has ended stays ended
until a RunReopened behind its records says otherwise.
What cannot be read is left out and counted (`refused`), entry by entry; in HISTORY its place is remembered, so that retention keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...schemas import messages, subjects
from ...schemas.codec import decode_record
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import FAILURES, DeadLetter, Summary
from ...schemas.payload import Payload
from ...schemas.records import Error, PauseRequested, Record, ResumeRequested, RunReopened, RunStarted
from .database import INDEX_BITS, place

OUTPUT_KEPT_MAX_BYTES = 16 * 1024
MESSAGE_KEPT_MAX = 500
"""Characters of an error's message that lists show and filters search. All of it is in `error`, up to OUTPUT_KEPT_MAX_BYTES."""
_NUMBER_BITS = 53
_STARTED, _PAUSED, _RESUMED, _REOPENED = 1, 8, 9, 11
_DIGEST = 3
"""Its place in a started run's row; "" where only a later part of the run was seen."""
_LOOKED_AT = frozenset((_STARTED, _PAUSED, _RESUMED, _REOPENED))
Row = tuple[Any, ...]


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """A messages.Part whose records stay as they are: there are many of them, and nobody asks here."""

    run: str
    first: int
    records: msgspec.Raw
    summary: Summary | None = None


_pieces = msgspec.msgpack.Decoder(list[Piece])
_piece = msgspec.msgpack.Decoder(Piece)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Changes:
    """Collects until it is written. `versions` tells the version behind a digest, as far as it is known."""

    partitions: int
    versions: dict[str, str]
    started: dict[str, Row] = field(default_factory=dict)
    ended: dict[str, Row] = field(default_factory=dict)
    parts: list[Row] = field(default_factory=list)
    unreadable: list[Row] = field(default_factory=list)
    steered: list[Row] = field(default_factory=list)
    reopened: list[Row] = field(default_factory=list)
    letters: list[Row] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    @property
    def rows(self) -> int:
        return len(self.started) + len(self.ended) + len(self.parts)

    def take(self, stream: str, seq: int, subject: str, data: bytes) -> None:
        """Take in a message of any of the streams that are followed."""
        if stream == subjects.HISTORY:
            self._history(seq, subject.partition(".")[2], data)
        elif stream == subjects.DEAD:
            self._dead(seq, data)
        else:
            self._wal(data)
        self.positions[stream] = seq

    def _history(self, seq: int, flow: str, data: bytes) -> None:
        try:
            pieces: list[Piece | None] = list(_pieces.decode(data))
        except FAILURES:
            pieces = self._one_by_one(data)
        at = place(seq, 0)
        for piece in pieces[: 1 << INDEX_BITS]:
            try:
                if piece is None:
                    raise UnreadableRecord("no part of a journal")
                self._take_piece(at, flow, piece)
            except UnreadableRecord:
                self.refused += 1
                self.unreadable.append((at, flow))
            at += 1

    def _take_piece(self, at: int, flow: str, piece: Piece) -> None:
        _check(piece.first)
        summary = piece.summary
        if summary is None:
            count = self._begun(flow, piece)
        else:
            count = _length(piece.records)
            _check(summary.started_at | summary.ended_at | summary.records)
            self.ended[piece.run] = ended_row(piece.run, summary, subjects.partition_of(piece.run, self.partitions))
        self.parts.append((at, flow, piece.first, count, piece.run))

    def _begun(self, flow: str, piece: Piece) -> int:
        """Take in a piece of an open run. How many records it has."""
        records = messages.split(bytes(piece.records))
        if not records:
            raise UnreadableRecord("a part without records")
        first = decode_record(bytes(records[0]))
        _check(first.at)
        if isinstance(first, RunStarted):
            self._start(first)
        elif piece.run not in self.started:
            # The beginning of its journal is gone: what is known is that there is such a run.
            self.started[piece.run] = self._started_row(piece.run, flow, "", None, first.at, None, "")
        for record in records:
            self._look_at(bytes(record))
        return len(records)

    def _one_by_one(self, data: bytes) -> list[Piece | None]:
        """The pieces of a batch with something unreadable in it; None in its place, because the others keep their index."""
        try:
            entries = messages.split(data)
        except UnreadableRecord:
            return [None]
        pieces: list[Piece | None] = []
        for entry in entries:
            try:
                pieces.append(_piece.decode(entry))
            except FAILURES:
                pieces.append(None)
        return pieces

    def _wal(self, data: bytes) -> None:
        try:
            entries = messages.split(data)
        except UnreadableRecord:
            self.refused += 1
            return
        for entry in entries:
            self._look_at(bytes(entry))

    def _look_at(self, entry: bytes) -> None:
        """Of a record only its kind, the second byte, unless it is one that changes a row."""
        if len(entry) < 2 or entry[1] not in _LOOKED_AT:
            return
        try:
            record = decode_record(entry)
            _check(record.at)
        except UnreadableRecord:
            self.refused += 1
            return
        if isinstance(record, RunStarted):
            self._start(record)
        elif isinstance(record, (PauseRequested, ResumeRequested)):
            self._steer(record)
        elif isinstance(record, RunReopened):
            self._reopen(record)

    def _start(self, record: RunStarted) -> None:
        known = self.started.get(record.run)
        if known is None or not known[_DIGEST]:
            parent = None if record.parent is None else record.parent[0]
            row = self._started_row(record.run, record.flow, record.digest, record.trigger, record.at, parent, record.trace)
            self.started[record.run] = row

    def _steer(self, record: Record) -> None:
        status = "paused" if isinstance(record, PauseRequested) else "running"
        self.steered.append((status, record.at, record.run, record.at))

    def _reopen(self, record: RunReopened) -> None:
        _check(record.after)
        partition = subjects.partition_of(record.run, self.partitions)
        self.reopened.append((record.run, partition, record.at, record.source or None, record.after))

    def _started_row(self, run: str, flow: str, digest: str, trigger: str | None, at: int, parent: str | None, trace: str) -> Row:
        version = self.versions.get(digest, "")
        return (run, flow, version, digest, "running", trigger, subjects.partition_of(run, self.partitions), at, parent, trace)

    def _dead(self, seq: int, data: bytes) -> None:
        try:
            letter = messages.decode(DeadLetter, data)
            _check(letter.at)
        except UnreadableRecord as error:
            # Shown all the same: somebody has to look after it.
            self.refused += 1
            letter = DeadLetter("unknown", error.code, str(error), "", data, 0)
        self.letters.append((seq, letter.kind, letter.code, letter.reason[:MESSAGE_KEPT_MAX], letter.subject, letter.at, len(letter.data)))


def _check(number: int) -> None:
    """Of several numbers, all at once: their `|`. What SQLite cannot hold, nobody has written in earnest."""
    if number >> _NUMBER_BITS:
        raise UnreadableRecord("a number that is negative, or beyond what can be counted")


def ended_row(run: str, summary: Summary, partition: int) -> Row:
    error = summary.error
    return (
        run, summary.flow, summary.version, summary.digest, summary.status, summary.trigger, partition, summary.started_at,
        summary.ended_at, max(0, summary.ended_at - summary.started_at),
        None if error is None else error.type, None if error is None else error.message[:MESSAGE_KEPT_MAX],
        summary.parent, summary.records, None if error is None else kept_error(error), kept_output(summary.output), summary.trace,
        summary.source or None,
    )  # fmt: skip


def kept_output(output: Payload) -> bytes | None:
    return output if len(output) <= OUTPUT_KEPT_MAX_BYTES else None


def kept_error(error: Error) -> bytes:
    """The error as bytes; without its details, and with the beginning of its message, if it is large."""
    data = _encode(error)
    if len(data) <= OUTPUT_KEPT_MAX_BYTES:
        return data
    return _encode(msgspec.structs.replace(error, details=None, message=error.message[:MESSAGE_KEPT_MAX]))


def _length(array: msgspec.Raw) -> int:
    """How many items an encoded array has, by its header; it was checked when the batch was decoded."""
    data = memoryview(array)
    head = data[0]
    if head & 0xF0 == 0x90:
        return head & 0x0F
    if head in (0xDC, 0xDD):
        return int.from_bytes(data[1 : 3 if head == 0xDC else 5], "big")
    return 0
