"""What consumers are asked: so many messages, for so long, with a word every now and then that the asker still waits."""

from __future__ import annotations

from typing import Any

from .stored import with_fields


class Ask:
    """`batch`: how many messages are still wanted. Times are the loop's; 0: never."""

    __slots__ = ("batch", "beat_s", "beats_at_s", "expires_s", "given", "no_wait", "reply")

    def __init__(self, reply: str, question: dict[str, Any], now_s: float) -> None:
        self.reply = reply
        self.batch = int(question.get("batch") or 1)
        self.no_wait = bool(question.get("no_wait"))
        expires_ns = int(question.get("expires") or 0)
        self.expires_s = now_s + expires_ns / 1e9 if expires_ns else 0.0
        self.beat_s = int(question.get("idle_heartbeat") or 0) / 1e9
        self.beats_at_s = now_s + self.beat_s if self.beat_s else 0.0
        self.given = 0

    def expired(self, now_s: float) -> bool:
        return bool(self.expires_s) and now_s >= self.expires_s

    def next_s(self) -> float:
        """When there is something to say to the asker, if nothing comes meanwhile."""
        times = [each for each in (self.expires_s, self.beats_at_s) if each]
        return min(times, default=float("inf"))


def status(line: str, **fields: object) -> bytes:
    """A block of headers that says something instead of a message."""
    block = f"NATS/1.0 {line}\r\n\r\n".encode()
    return with_fields(block, {name.replace("_", "-"): value for name, value in fields.items()}) if fields else block


def timed_out(ask: Ask) -> bytes:
    return status("408 Request Timeout", Nats_Pending_Messages=ask.batch, Nats_Pending_Bytes=0)


def beat(consumer_seq: int, stream_seq: int) -> bytes:
    return status("100 Idle Heartbeat", Nats_Last_Consumer=consumer_seq, Nats_Last_Stream=stream_seq)


NO_MESSAGES = status("404 No Messages")
PENDING = status("408 Requests Pending")
DELETED = status("409 Consumer Deleted")
TOO_MANY = status("409 Exceeded MaxWaiting")
SHUTDOWN = status("409 Server Shutdown")
