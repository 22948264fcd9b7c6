"""Writing in one piece: uvicorn writes head and body of an answer one by one, and each costs the system as much as both together."""

from __future__ import annotations

import asyncio


class InOnePiece:
    """A transport that writes once per turn of the loop."""

    __slots__ = ("_loop", "_pieces", "_transport", "abort", "get_extra_info", "get_write_buffer_size", "is_closing", "pause_reading",
                 "resume_reading")  # fmt: skip

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []
        self.abort, self.is_closing, self.get_extra_info = transport.abort, transport.is_closing, transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()
