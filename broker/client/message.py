"""A message as it came from the broker: cheap to make, read only as far as somebody looks.

Headers and the delivery's facts (which delivery, which sequence, when) are parsed on first use. Acknowledgements are plain publishes:
no round trip, nothing raised when the connection is gone, since a lost acknowledgement means that the message comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Wire

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ACK, _IN_PROGRESS = b"+ACK", b"+WPI"
_SHORT_FORM = 9  # tokens of `$JS.ACK.<stream>.<consumer>.…`; a server with domains puts domain and account before the stream


class Message:
    """`data`: the payload. `subject`: where it was published. `reply`: where an answer goes, "" for nowhere."""

    __slots__ = ("_facts", "_headers", "_raw_headers", "_wire", "data", "reply", "subject")

    def __init__(self, wire: Wire, subject: str, reply: str, data: bytes, raw_headers: bytes | None) -> None:
        self.subject, self.reply, self.data = subject, reply, data
        self._wire, self._raw_headers = wire, raw_headers
        self._headers: Mapping[str, str] | None = None
        self._facts: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Message {self.subject!r}, {len(self.data)} bytes>"

    @property
    def headers(self) -> Mapping[str, str]:
        """Names as they were sent; of a name that comes twice, the last value."""
        if self._headers is None:
            self._headers = parse_headers(self._raw_headers) if self._raw_headers else NO_HEADERS
        return self._headers

    @property
    def status(self) -> int:
        """The status that the server sent instead of a message (100, 404, 408, 409, 503), else 0."""
        raw = self._raw_headers
        return int(raw[9:12]) if raw and raw[8:9] == b" " and raw[9:12].isdigit() else 0

    @property
    def status_text(self) -> str:
        """What the server says beside the status, e.g. "Consumer Deleted"."""
        return self._raw_headers.partition(b"\r\n")[0][13:].decode(errors="replace") if self._raw_headers else ""

    @property
    def stream(self) -> str:
        return self._delivery()[2]

    @property
    def consumer(self) -> str:
        return self._delivery()[3]

    @property
    def delivered(self) -> int:
        """Which delivery of the message this is, from 1."""
        return int(self._delivery()[4])

    @property
    def stream_seq(self) -> int:
        return int(self._delivery()[5])

    @property
    def consumer_seq(self) -> int:
        return int(self._delivery()[6])

    @property
    def timestamp_ns(self) -> int:
        """When the stream stored it, since the epoch."""
        return int(self._delivery()[7])

    @property
    def pending(self) -> int:
        """How many more messages the consumer has to deliver after this one."""
        return int(self._delivery()[8])

    async def ack(self) -> None:
        """Done: never again."""
        self._wire.publish_now(self.reply, _ACK)

    async def nak(self, delay_s: float = 0) -> None:
        """Not done: again, after `delay_s`. Until then it occupies a place in the consumer's `max_ack_pending`."""
        self._wire.publish_now(self.reply, b'-NAK {"delay":%d}' % int(delay_s * 1e9) if delay_s > 0 else b"-NAK")

    def done(self) -> None:
        """As `ack`, from a plain function."""
        self._wire.publish_now(self.reply, _ACK)

    def give_back(self) -> None:
        """As `nak`, from a plain function."""
        self._wire.publish_now(self.reply, b"-NAK")

    async def in_progress(self) -> None:
        """Still working: the consumer's `ack_wait` starts anew."""
        self._wire.publish_now(self.reply, _IN_PROGRESS)

    async def respond(self, payload: bytes) -> None:
        """Answer a request; without effect if nobody waits for an answer."""
        self._wire.publish_now(self.reply, payload)

    def _delivery(self) -> list[str]:
        facts = self._facts
        if facts is None:
            facts = self.reply.split(".")
            if len(facts) > _SHORT_FORM:
                facts = facts[:2] + facts[4:]
            if len(facts) < _SHORT_FORM:
                raise ValueError(f"the message on {self.subject!r} does not come from a consumer: it has no sequence")
            self._facts = facts
        return facts


def parse_headers(raw: bytes) -> dict[str, str]:
    """The fields of a block `NATS/1.0[ status text]\\r\\nName: value\\r\\n…`; lines without a colon are left out."""
    headers: dict[str, str] = {}
    for line in raw.decode(errors="replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers
