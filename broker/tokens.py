"""Tokens: what lets its bearer answer one approval of one run, once.

    jfa1.<what it names>.<HMAC-SHA-256 of that>      base64url, no padding

It names the run, the activation, and which wait of the run it is. The secret is made once per deployment, of 256 random bits, and kept on
`secret.approvals` in the stream SECRETS, with the one before it: who may read that stream may make tokens. A rotation ends the tokens
of the one before the last. Deployments of before had it in FLEET; from there it is taken over, and removed.

That a token is used once is not its own doing: the wait that it names ends, and no other has its number.
"""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import msgspec
import structlog

from ..schemas import messages, subjects
from ..schemas.errors import JetfleetError, UnreadableRecord
from .client import BrokerError, Connection, Message, NotFound, Subscription, WrongSequence

SUBJECT = subjects.secret("approvals")
SECRET_BYTES = 32
ROTATE_AGAIN_MS = 60_000
_PREFIX = "jfa1"
_encode = msgspec.msgpack.Encoder().encode
_named = msgspec.msgpack.Decoder(tuple[str, tuple[int | str, ...], int])

log = structlog.get_logger("jetfleet.tokens")


class TokenInvalid(JetfleetError):
    """Not a token of this deployment, or changed on its way, or made with a secret that was rotated out."""

    code = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__(
            "this is no token of this deployment: it was changed or cut off, or its secret was rotated out; "
            "`jetfleet approvals show RUN HOOK` makes a new one for an approval that waits"
        )


class RotatedLately(JetfleetError):
    """The secret was made less than a minute ago."""

    code = "ROTATED_LATELY"


class Secret(msgspec.Struct, array_like=True, frozen=True):
    """`made_at`: ms since the epoch."""

    key: bytes
    made_at: int


class Secrets(msgspec.Struct, array_like=True, frozen=True):
    """Those that are live, the newest first: one, or two after a rotation."""

    live: tuple[Secret, ...]


class Named(msgspec.Struct, frozen=True):
    """What a token names."""

    run: str
    activation: tuple[int | str, ...]
    wait: int


class Tokens:
    """Makes tokens and reads them. `start` before use; follows rotations until `stop`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._live: tuple[Secret, ...] = ()
        self._following: Subscription | None = None

    async def start(self) -> None:
        """Find the secret, or make it. Raises BrokerError."""
        self._following = await self._connection.subscribe(SUBJECT, self._rotated)
        self._connection.on_reconnect.append(self.refresh)
        await self.refresh()

    async def stop(self) -> None:
        """Follow no more."""
        if self.refresh in self._connection.on_reconnect:
            self._connection.on_reconnect.remove(self.refresh)
        if self._following is not None:
            await self._following.stop()

    async def refresh(self) -> None:
        """Read the secrets that are live now; make the first one. Raises BrokerError."""
        found, _ = await _read(self._connection)
        self._live = (found or await _make(self._connection)).live

    def sign(self, run: str, activation: tuple[int | str, ...], wait: int) -> str:
        """The token of one approval: the same each time, until the secret is rotated."""
        named = _encode((run, activation, wait))
        return f"{_PREFIX}.{_text(named)}.{_text(_signed(self._live[0], named))}"

    async def read(self, token: str) -> Named:
        """What a token names. Raises TokenInvalid, BrokerError."""
        try:
            prefix, text, signature = token.strip().split(".")
            named, given = _bytes(text), _bytes(signature)
        except ValueError:
            raise TokenInvalid from None
        await self.refresh()
        if prefix != _PREFIX or not any(hmac.compare_digest(_signed(secret, named), given) for secret in self._live):
            raise TokenInvalid
        run, activation, wait = _named.decode(named)
        return Named(run, activation, wait)

    def _rotated(self, message: Message) -> None:
        try:
            self._live = messages.decode(Secrets, message.data).live
        except UnreadableRecord as error:
            log.error("the secret of tokens cannot be read; the one before is used on", reason=str(error))


async def rotate(connection: Connection) -> None:
    """Make a new secret; the one before stays live, an older one ends. Raises RotatedLately, BrokerError."""
    found, seq = await _read(connection)
    if found is None:
        await _make(connection)
        return
    now = time.time_ns() // 1_000_000
    if len(found.live) > 1 and now - found.live[0].made_at < ROTATE_AGAIN_MS:
        raise RotatedLately(
            "the secret was rotated less than a minute ago, and another rotation would end tokens made just now; try again in a minute"
        )
    rotated = Secrets((_new(now), found.live[0]))
    try:
        await connection.publisher.publish(SUBJECT, messages.encode(rotated), expect_last_subject_seq=seq)
    except WrongSequence:
        raise RotatedLately("somebody else has just rotated the secret") from None


async def _make(connection: Connection) -> Secrets:
    before = await connection.streams.last(subjects.FLEET, SUBJECT)
    made = Secrets((_new(time.time_ns() // 1_000_000),)) if before is None else messages.decode(Secrets, before.data)
    try:
        await connection.publisher.publish(SUBJECT, messages.encode(made), expect_last_subject_seq=0)
        if before is not None:
            await connection.streams.purge(subjects.FLEET, subject=SUBJECT)
    except WrongSequence:  # somebody else was first
        found, _ = await _read(connection)
        if found is None:
            raise BrokerError(f"the secret on {SUBJECT!r} was removed while it was made; try again") from None
        return found
    return made


async def _read(connection: Connection) -> tuple[Secrets | None, int]:
    try:
        stored = await connection.streams.last(subjects.SECRETS, SUBJECT)
    except NotFound:  # a deployment of before, and no coordinator of this version has started yet
        stored = await connection.streams.last(subjects.FLEET, SUBJECT)
    return (None, 0) if stored is None else (messages.decode(Secrets, stored.data), stored.seq)


def _new(now_ms: int) -> Secret:
    return Secret(secrets.token_bytes(SECRET_BYTES), now_ms)


def _signed(secret: Secret, named: bytes) -> bytes:
    return hmac.new(secret.key, f"{_PREFIX}.".encode() + named, sha256).digest()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Raises ValueError for what is not exactly the text of some bytes: a token has one spelling."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(data) != text:
        raise ValueError
    return data
