"""`$JS.API.DIRECT.GET.…`: stored messages as messages, one or a page of them, with an end mark after a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .asks import status
from .store import Store
from .stored import Stored, rfc3339, with_fields
from .streams import Stream
from .subjects import matcher

SUBJECTS_MAX = 1_024
PAGE_BYTES = 64 << 20
_NOT_FOUND, _NO_RESULTS = status("404 Message Not Found"), status("404 No Results")
_TOO_MANY, _EMPTY = status("413 Too Many Results"), status("408 Empty Request")
Send = Callable[[bytes, bytes], None]
"""Of headers and data, to who asks."""


def answer_direct(stream: Stream, subject: str, data: bytes, send: Send) -> None:
    """`subject`: of which the last message is asked for; "": the question is in `data`."""
    if subject:
        _one(stream, stream.store.last_of(subject), send)
        return
    question: dict[str, Any] = msgspec.json.decode(data) if data else {}
    if question.get("multi_last"):
        _last_of_each(stream, question, send)
    elif question.get("batch"):
        _batch(stream, question, send)
    elif question.get("next_by_subj"):
        pattern = question["next_by_subj"]
        _one(stream, stream.store.next_of(pattern, matcher(pattern), int(question.get("seq") or 0)), send)
    elif question.get("last_by_subj"):
        _one(stream, stream.store.last_of(question["last_by_subj"]), send)
    elif question.get("seq"):
        _one(stream, stream.store.messages.get(int(question["seq"])), send)
    else:
        send(_EMPTY, b"")


def _one(stream: Stream, message: Stored | None, send: Send) -> None:
    if message is None:
        send(_NOT_FOUND, b"")
    else:
        send(with_fields(message.headers, _facts(stream, message)), message.data)


def _batch(stream: Stream, question: dict[str, Any], send: Send) -> None:
    store, seq = stream.store, int(question.get("seq") or 0)
    pattern = question.get("next_by_subj") or ">"
    matches = matcher(pattern)
    left = store.count_from(matches, seq)
    before = sent_bytes = count = 0
    while count < int(question["batch"]) and sent_bytes < int(question.get("max_bytes") or PAGE_BYTES):
        message = store.next_of(pattern, matches, seq)
        if message is None:
            break
        left, count, seq = left - 1, count + 1, message.seq + 1
        sent_bytes += _size(message)
        facts = _facts(stream, message) | {"Nats-Num-Pending": left, "Nats-Last-Sequence": before}
        send(with_fields(message.headers, facts), message.data)
        before = message.seq
    if count:
        send(status("204 EOB", Nats_Num_Pending=left, Nats_Last_Sequence=before), b"")
    else:
        send(_NOT_FOUND, b"")


def _last_of_each(stream: Stream, question: dict[str, Any], send: Send) -> None:
    up_to = int(question.get("up_to_seq") or 0) or stream.store.last_seq
    seqs = _newest(stream.store, question["multi_last"], up_to)
    if len(seqs) > SUBJECTS_MAX:
        send(_TOO_MANY, b"")
        return
    seqs = [seq for seq in seqs if seq >= int(question.get("seq") or 0)]
    if not seqs:
        send(_NO_RESULTS, b"")
        return
    left, before, sent_bytes, count = len(seqs), 0, 0, 0
    for seq in seqs:
        message = stream.store.messages[seq]
        left, count = left - 1, count + 1
        facts = _facts(stream, message) | {"Nats-Num-Pending": left, "Nats-Last-Sequence": before}
        send(with_fields(message.headers, facts), message.data)
        before, sent_bytes = seq, sent_bytes + _size(message)
        if sent_bytes >= int(question.get("max_bytes") or PAGE_BYTES) or count == question.get("batch"):
            break
    send(status("204 EOB", Nats_Num_Pending=left, Nats_Last_Sequence=before, Nats_UpTo_Sequence=up_to), b"")


def _newest(store: Store, patterns: list[str], up_to: int) -> list[int]:
    """The last sequence of each subject that matches, up to a sequence, in order."""
    found: set[int] = set()
    for pattern in patterns:
        matches = matcher(pattern)
        for subject, seqs in store.by_subject.items():
            if matches(subject):
                found |= set(next(([seq] for seq in reversed(seqs) if seq <= up_to), []))
    return sorted(found)


def _facts(stream: Stream, message: Stored) -> dict[str, object]:
    return {
        "Nats-Stream": stream.name,
        "Nats-Subject": message.subject,
        "Nats-Sequence": message.seq,
        "Nats-Time-Stamp": rfc3339(message.time_ns),
    }


def _size(message: Stored) -> int:
    return len(message.subject) + len(message.headers or b"") + len(message.data)
