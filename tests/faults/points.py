"""Kill points: a process dies at a named point of what it says to the server, before it, when it was sent, or when it was answered.

    FAULTS_POINT="answered wal. 3"       dies as the answer to its third message on a subject that begins so comes in, before it is read

`wrap` is called in the process before anything else (`Shape.wrappers` in `world.py`), and changes how jetfleet's wire writes and reads there.
`sent` means that the kernel has the bytes: they arrive, although the process that wrote them is gone.
"""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

from jetfleet.broker.client.wire import Wire

POINT = "FAULTS_POINT"
BEFORE, SENT, ANSWERED = "before", "sent", "answered"
MOMENTS = (BEFORE, SENT, ANSWERED)
_PUBLISHES = (b"PUB", b"HPUB")


def wrap() -> None:
    moment, prefix, nth = os.environ[POINT].split(" ")
    point = _Point(moment, prefix.encode(), int(nth))
    write, read = Wire.write, Wire._process_msg

    def writing(wire: Wire, command: bytes) -> bool:
        if not point.reached(command):
            return write(wire, command)
        if point.moment == BEFORE:
            die()
        written = write(wire, command)
        if written and not point.awaits_answer:
            wire._flush_now()
            die()
        return written

    async def reading(wire: Wire, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if subject == point.answer:
            die()
        await read(wire, sid, subject, reply, data, headers)

    wire: Any = Wire
    wire.write, wire._process_msg = writing, reading


class _Point:
    """`answer`: the subject on which the answer comes, once the point was reached. What asks for no answer counts when it was sent."""

    def __init__(self, moment: str, prefix: bytes, nth: int) -> None:
        self.moment = moment
        self.answer = b""
        self._prefix, self._left = prefix, nth

    @property
    def awaits_answer(self) -> bool:
        return bool(self.answer)

    def reached(self, command: bytes) -> bool:
        words = command.partition(b"\r\n")[0].split(b" ")
        if words[0] not in _PUBLISHES or not words[1].startswith(self._prefix):
            return False
        self._left -= 1
        if self._left:
            return False
        sizes = 1 if words[0] == b"PUB" else 2
        if self.moment == ANSWERED and len(words) - sizes > 2:
            self.answer = words[2]
        return True


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")
