"""What can go wrong with a payload that lies elsewhere. Never wrong bytes: one of these.

    PayloadError
    ├── PayloadLost        the bytes are nowhere to be had, or are not the ones that were written (PayloadCorrupt)
    ├── PayloadElsewhere   they are not on this host, and whoever asks cannot fetch them
    ├── ArenaFull          there is no room now; it may be tried again
    ├── ObjectsFull        the object store has no room now; it may be tried again
    ├── ObjectsUnavailable the store outside of NATS that the chunks lie in does not take or give them
    ├── RunTooLarge        the run has all that one run may have, or one value is larger than the arena
    ├── ArenaUnusable      the arena's folder cannot be trusted or used
    ├── UnknownCodec       nobody here can read or write such a value, and what to install
    └── KeyMissing         the key that a value is encrypted with is not in this process's environment

`type` is the word by which retry policies and error handlers know it, as for any error of a node.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import JetfleetError
from .ref import Ref


class PayloadError(JetfleetError):
    """`type` and `retryable` are those of the attempt that fails by it."""

    code = "PAYLOAD"
    type = "payload"
    retryable = False


class PayloadLost(PayloadError):
    """`refs` are those whose bytes are gone. The engine may have their producers executed again."""

    code = "PAYLOAD_LOST"
    type = "payload_lost"

    def __init__(self, message: str, refs: Sequence[Ref] = ()) -> None:
        super().__init__(message)
        self.refs = tuple(refs)


class PayloadCorrupt(PayloadLost):
    """There are bytes, and they are not the ones that were written."""

    code = "PAYLOAD_CORRUPT"


class PayloadElsewhere(PayloadError):
    """The bytes are on another host (`ref`), and reading them takes somebody who may wait for them."""

    code = "PAYLOAD_ELSEWHERE"
    type = "payload_elsewhere"
    retryable = True

    def __init__(self, message: str, ref: Ref) -> None:
        super().__init__(message)
        self.ref = ref


class ArenaFull(PayloadError):
    code = "ARENA_FULL"
    type = "arena_full"
    retryable = True


class ObjectsFull(PayloadError):
    code = "OBJECTS_FULL"
    type = "objects_full"
    retryable = True


class ObjectsUnavailable(PayloadError):
    code = "OBJECTS_UNAVAILABLE"
    type = "objects_unavailable"
    retryable = True


class RunTooLarge(PayloadError):
    code = "RUN_TOO_LARGE"
    type = "run_too_large"


class ArenaUnusable(PayloadError):
    code = "ARENA_UNUSABLE"
    type = "arena_unusable"
    retryable = True


class UnknownCodec(PayloadError):
    code = "UNKNOWN_CODEC"
    type = "unknown_codec"


class KeyMissing(PayloadError):
    code = "KEY_MISSING"
    type = "key_missing"
