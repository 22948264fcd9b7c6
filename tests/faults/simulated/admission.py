"""What a stream asks of a message before it stores it, in the server's order: the order decides which error a publisher sees.

single   size, TTL allowed, expected sequences, schedule, id (known: a duplicate, no error), rollup, TTL valid, room
batch    size; for each message TTL, id, expected sequences, schedule, rollup, room, counting what the batch stages before it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import refusals
from .expiry import ttl_s
from .prepared import LAST_SEQ, LAST_SUBJECT_SEQ, STREAM, TTL, Prepared
from .schedules import check_schedule

if TYPE_CHECKING:
    from .streams import Stream


def admit(stream: Stream, message: Prepared) -> int:
    """The sequence under which the stream has it already; 0: it may be stored. Raises Refusal."""
    check_size(stream, message)
    if message.asks:
        _check_stream(stream, message)
        _check_ttl_allowed(stream, message)
        _check_sequences(stream, message)
        check_schedule(stream, message)
        known = stream.ids.known(message.id)
        if known:
            return known
        _check_rollup(stream, message)
        message.lives_s = ttl_s(message.asks.get(TTL))
    _check_room(stream, message)
    return 0


def admit_batch(stream: Stream, messages: Sequence[Prepared]) -> None:
    """Raises Refusal for the first message that cannot be stored after those before it."""
    ids: set[bytes] = set()
    touched: set[str] = set()
    size = 0
    for staged, message in enumerate(messages):
        _check_stream(stream, message)
        _check_ttl_allowed(stream, message)
        message.lives_s = ttl_s(message.asks.get(TTL))
        _check_id_in_batch(stream, message, ids)
        _check_sequences_in_batch(stream, message, staged, touched)
        check_schedule(stream, message)
        _check_rollup(stream, message)
        if message.rollup == b"sub" and message.subject in touched:
            raise refusals.rollup_refused("batch rollup sub invalid")
        touched.add(message.subject)
        size += stream.size_of(message.subject, message.headers, message.data)
        _check_room_for_batch(stream, staged + 1, size)


def check_size(stream: Stream, message: Prepared) -> None:
    if 0 <= stream.limits.message_bytes < len(message.headers or b"") + len(message.data):
        raise refusals.too_large()


def _check_stream(stream: Stream, message: Prepared) -> None:
    if message.asks.get(STREAM, stream.name.encode()) != stream.name.encode():
        raise refusals.other_stream()


def _check_ttl_allowed(stream: Stream, message: Prepared) -> None:
    if message.asks.get(TTL) and not stream.config["allow_msg_ttl"]:
        raise refusals.ttl_disabled()


def _check_sequences(stream: Stream, message: Prepared) -> None:
    expected = message.expects(LAST_SUBJECT_SEQ)
    if expected is not None and expected != (last := stream.store.last_seq_of(message.subject)):
        raise refusals.wrong_last_sequence(last)
    expected = message.expects(LAST_SEQ)
    if expected is not None and expected != stream.store.last_seq:
        raise refusals.wrong_last_sequence(stream.store.last_seq)


def _check_sequences_in_batch(stream: Stream, message: Prepared, staged: int, touched: set[str]) -> None:
    expected = message.expects(LAST_SEQ)
    if expected is not None and expected != stream.store.last_seq + staged:
        raise refusals.wrong_last_sequence(stream.store.last_seq + staged)
    if expected is not None and staged:
        raise refusals.wrong_last_sequence_in_batch()
    expected = message.expects(LAST_SUBJECT_SEQ)
    if expected is not None and message.subject in touched:
        raise refusals.wrong_last_sequence_in_batch()
    if expected is not None and expected != (last := stream.store.last_seq_of(message.subject)):
        raise refusals.wrong_last_sequence(last)


def _check_id_in_batch(stream: Stream, message: Prepared, ids: set[bytes]) -> None:
    if message.id is None:
        return
    if message.id in ids or stream.ids.known(message.id):
        raise refusals.batch_with_duplicate()
    ids.add(message.id)


def _check_rollup(stream: Stream, message: Prepared) -> None:
    if not message.rollup:
        return
    if not stream.config["allow_rollup_hdrs"]:
        raise refusals.rollup_refused("rollup not permitted")
    if message.rollup not in (b"sub", b"all"):
        raise refusals.rollup_refused(f'rollup value invalid: "{message.rollup.decode()}"')


def _check_room(stream: Stream, message: Prepared) -> None:
    limits, store = stream.limits, stream.store
    if not limits.discards_new:
        return
    seqs = store.by_subject.get(message.subject, ())
    replaces = 0 < limits.per_subject <= len(seqs)
    if replaces and limits.discards_new_per_subject and not message.rollup:
        raise refusals.no_room("messages per subject")
    if 0 < limits.messages <= len(store) and not replaces:
        raise refusals.no_room("messages")
    size = stream.size_of(message.subject, message.headers, message.data)
    if 0 < limits.bytes < store.size_bytes + size and (not replaces or store.messages[seqs[0]].size_bytes < size):
        raise refusals.no_room("bytes")


def _check_room_for_batch(stream: Stream, staged: int, size_bytes: int) -> None:
    limits, store = stream.limits, stream.store
    if not limits.discards_new:
        return
    if 0 < limits.messages < len(store) + staged:
        raise refusals.no_room("messages")
    if 0 < limits.bytes < store.size_bytes + size_bytes:
        raise refusals.no_room("bytes")
