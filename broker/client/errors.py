"""What can go wrong between a process and the broker, as types that say whether the operation may have happened.

    BrokerError
    ├── Unreachable          no server answers at the address
    ├── NotAuthorized        the server wants other credentials
    │   └── Denied           this user may not use the subject
    ├── NotTrusted           the server cannot prove who it is, does not believe us, or does not encrypt
    ├── ServerTooOld         a server without the features that everything here rests on
    ├── NoJetStream          a server that stores nothing
    ├── ConnectionClosed     closed by this process
    ├── Hole                 a stream does not go on where it was read up to
    ├── Unknown              no answer: it may have happened, or may still happen
    │   └── NoResponders     nobody listens (yet): it did not happen, but trying again may help, as with every Unknown
    └── Refused              the server said no
        ├── StreamFull       a limit of the stream, the account or the disk
        ├── WrongSequence    a compare-and-set lost
        ├── NotFound         no such stream, consumer or message
        └── PayloadTooLarge  more bytes than the server or the stream takes

Nothing that `nats` raises leaves this package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...schemas.errors import JetfleetError
from ..permissions import roles_that_may

ELECTION_S = 15.0
"""How long a cluster may be without an answer: when a leader dies, the others notice and choose another within some 10 s."""
_FULL = frozenset({10002, 10023, 10028, 10047, 10077})
_WRONG_SEQUENCE = frozenset({10071})
_TOO_LARGE = frozenset({10054})
_LEADERLESS = frozenset({10008, 10009})
_STARTING = frozenset({10039, 10076})
_UNDER_WAY = frozenset({10158, 10163, 10164})
"""In a cluster: a message with this id, or one that this expected sequence has to be compared with, is on its way to the other servers.
Whether it arrives is not decided, so the refusal says nothing about the message: it has to be sent again to learn what becomes of it."""
_NO_PEERS, _NO_CLUSTER = 10005, 10074
_FLOODED = frozenset({10167})
_PASSING = _LEADERLESS | _STARTING | _UNDER_WAY | _FLOODED
_UNAVAILABLE = 503
_SEQUENCE = re.compile(r"wrong last sequence: (\d+)")


class BrokerError(JetfleetError):
    """The root of them all. `maybe_done`: the operation may have happened in spite of the error."""

    code = "BROKER"
    maybe_done = False


class Unreachable(BrokerError):
    """No server answered at the address in time."""

    code = "BROKER_UNREACHABLE"


class NotAuthorized(BrokerError):
    """The server refused the credentials, or wants some."""

    code = "NOT_AUTHORIZED"


class Denied(NotAuthorized):
    """This user may not publish on the subject, or (`listening`) not listen on it. `hint`: whose it is, or what to say instead."""

    def __init__(self, subject: str, *, listening: bool, name: str, hint: str = "", maybe_done: bool = False) -> None:
        self.subject, self.listening, self.name, self.maybe_done = subject, listening, name, maybe_done
        may = roles_that_may(subject, listening=listening)
        self.hint = hint or (f"it is for the role {' or '.join(may)}" if may else "no role may")
        super().__init__(
            f"the server does not let the user of {name!r} {'listen' if listening else 'publish'} on {subject!r}: {self.hint}; connect as "
            "another user, or change its permissions (`jetfleet server permissions` prints those of each role)"
        )

    def perhaps(self) -> Denied:
        """The same where an earlier try may have been let through."""
        return Denied(self.subject, listening=self.listening, name=self.name, hint=self.hint, maybe_done=True)


class NotTrusted(BrokerError):
    """TLS refused the server's certificate, or the server ours; or there is no TLS where it was asked for. Nothing was sent."""

    code = "NOT_TRUSTED"


class ServerTooOld(BrokerError):
    """The server lacks message schedules, batch reads or per-message checks."""

    code = "SERVER_TOO_OLD"


class NoJetStream(BrokerError):
    """The server, or the account on it, has no JetStream."""

    code = "NO_JETSTREAM"


class ConnectionClosed(BrokerError):
    """The connection was closed by this process before the operation was done."""

    code = "CONNECTION_CLOSED"

    def __init__(self, message: str, *, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class Hole(BrokerError):
    """A stream that must not have holes does not go on at `expected`, but at `got`."""

    code = "STREAM_HOLE"

    def __init__(self, stream: str, expected: int, got: int) -> None:
        super().__init__(
            f"stream {stream} does not go on at sequence {expected} but at {got}: messages were lost or deleted, or the stream is "
            "a new one; stop what depends on it and restore the stream from a backup"
        )
        self.stream, self.expected, self.got = stream, expected, got


class Unknown(BrokerError):
    """No answer in time. `maybe_done` is False where it is certain that nothing was sent."""

    code = "OUTCOME_UNKNOWN"
    maybe_done = True

    def __init__(self, message: str, *, maybe_done: bool = True) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class NoResponders(Unknown):
    """Nobody listens on the subject: no such service, or no stream that takes it, for the time being."""

    code = "NO_RESPONDERS"

    def __init__(self, subject: str, hint: str = "start the process that answers it, or try again") -> None:
        super().__init__(f"nobody listens on {subject!r}: {hint}", maybe_done=False)


class Refused(BrokerError):
    """The server said no, definitely. `err_code` and `status` are JetStream's; `description` is its own word for it."""

    code = "BROKER_REFUSED"

    def __init__(self, message: str, *, err_code: int = 0, status: int = 400, description: str = "") -> None:
        super().__init__(message)
        self.err_code, self.status, self.description = err_code, status, description or message

    @property
    def passing(self) -> bool:
        """The same request may be accepted in a moment."""
        # Without an error code: a leader that was deposed while it had the request ("raft: not leader").
        return self.err_code in _PASSING or (self.status == _UNAVAILABLE and not self.err_code)

    @property
    def leaderless(self) -> bool:
        """The servers of a cluster have not agreed on a leader (yet)."""
        return self.err_code in _LEADERLESS


class StreamFull(Refused):
    """No room: a limit of the stream or the account, or a full disk."""

    code = "STREAM_FULL"


class WrongSequence(Refused):
    """Somebody else was faster: the expected sequence is not the last one. `actual` is the last one, where the server says it."""

    code = "WRONG_SEQUENCE"
    actual: int | None = None


class NotFound(Refused):
    """No such stream, consumer or message."""

    code = "NOT_FOUND"


class PayloadTooLarge(Refused):
    """More bytes than the server, or the stream, takes in one message."""

    code = "PAYLOAD_TOO_LARGE"


def too_large(subject: str, size_bytes: int, limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"a message of {size_bytes} bytes for {subject!r}: the server takes {limit_bytes}; send less, or raise `max_payload` of the server",
        err_code=10054,
    )


def refusal(error: Mapping[str, Any], where: str) -> Refused:
    """The exception for JetStream's answer `{"code", "err_code", "description"}`; `where` is the subject or stream that was asked."""
    err_code, status = int(error.get("err_code", 0)), int(error.get("code", 0))
    description = str(error.get("description", "no reason given"))
    kind, hint = _kind(err_code, status, description)
    refused = kind(f"{where}: {description}; {hint}", err_code=err_code, status=status, description=description)
    if isinstance(refused, WrongSequence):
        found = _SEQUENCE.search(description)
        refused.actual = int(found[1]) if found else None
    return refused


def _kind(err_code: int, status: int, description: str) -> tuple[type[Refused], str]:
    if err_code in _FULL or (err_code == _NO_PEERS and "insufficient storage" in description):  # the second is how clusters say it
        return StreamFull, "purge what is no longer needed, or raise the limit of the stream or of the server's store"
    if err_code in _WRONG_SEQUENCE:
        return WrongSequence, "read the last message and decide again"
    if err_code in _TOO_LARGE:
        return PayloadTooLarge, "send less, or raise `max_msg_size` of the stream"
    if err_code in (_NO_PEERS, _NO_CLUSTER):
        return Refused, "as many copies need as many servers, joined to one cluster and running"
    if status == 404:
        return NotFound, "check the name, or deploy the topology"
    return Refused, f"the server's error code is {err_code}"
