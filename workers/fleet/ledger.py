"""The in-flight ledger: which messages this process has in work, in a file that outlives it.

A mapped file with one cell of fixed size per message: setting and clearing one are writes to memory, and the kernel keeps them when the
process is killed. The file is locked as long as its process lives, so whoever gets the lock knows that the process is gone, and what
stands in the cells can be given back at once instead of waiting for `ack_wait`.

    cell   state (1 byte) · length (1 byte) · reply subject of the message (up to 254 bytes)
    state  0 free · 1 waiting, or done and not yet acknowledged · 2 executing: if the process dies now, this message may be the reason

Guarantees nothing across a power cut, and need not: messages that nobody acknowledges are delivered again anyway. A message for
which there is no cell, or with a reply subject that is too long, is simply not in the ledger.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import JetfleetError

CELL_BYTES = 256
CELLS = 1_024
SLOTS_MAX = 1_000
_REPLY_MAX_BYTES = CELL_BYTES - 2
_FREE, _WAITING, _EXECUTING = 0, 1, 2
NO_CELL = -1
_WORD = r"[!-\-/-~]+"
"""Of a subject as our server writes it: printable, without a dot."""
_REPLY = re.compile(rf"\$JS\.ACK\.({_WORD}\.{_WORD}\.)?{_WORD}\.{_WORD}(\.[0-9]+){{5}}(\.{_WORD})?")
"""With or without domain and account in front, and a random token behind. A cell may hold anything: a disk is a disk."""


class LedgerError(JetfleetError):
    """The ledger's file cannot be used."""

    code = "LEDGER"


class SlotTaken(LedgerError):
    """Another process works in this slot."""

    code = "SLOT_TAKEN"


@dataclass(frozen=True, slots=True)
class Left:
    """A message that a dead process had in work: where to answer it, and whether it was being executed."""

    reply: str
    executing: bool


class Ledger:
    """The ledger of this process, locked until `close`.

    `left`: what the slot's last process had in work, to be given back. It stays in the file until `given_back`: whoever is killed before
    leaves it to the next one.
    """

    def __init__(self, folder: Path, slot: str | None = None) -> None:
        """Take the slot, or the first free one. Raises SlotTaken, LedgerError."""
        self.slot, self.path, self._file = _take(folder, slot)
        self._map = _mapped(self._file)
        self._left = dict(_read(self._map))
        self._free = [cell for cell in range(CELLS) if cell not in self._left]
        for cell in self._free:
            self._map[cell * CELL_BYTES] = _FREE

    @property
    def left(self) -> list[Left]:
        return list(self._left.values())

    def given_back(self) -> None:
        """Nothing more is to be done about what was left."""
        for cell in self._left:
            self.clear(cell)
        self._left = {}

    def set(self, reply: str) -> int:
        """Note a message; its cell."""
        data = reply.encode()
        if not self._free or len(data) > _REPLY_MAX_BYTES:
            return NO_CELL
        cell = self._free.pop()
        at = cell * CELL_BYTES
        self._map[at + 1] = len(data)
        self._map[at + 2 : at + 2 + len(data)] = data
        self._map[at] = _WAITING  # last: a cell that is only half written is free
        return cell

    def executing(self, cell: int, yes: bool) -> None:
        if cell != NO_CELL:
            self._map[cell * CELL_BYTES] = _EXECUTING if yes else _WAITING

    def clear(self, cell: int) -> None:
        if cell != NO_CELL:
            self._map[cell * CELL_BYTES] = _FREE
            self._free.append(cell)

    def close(self) -> None:
        """Let go of the slot. What is still noted is for who comes next."""
        self._map.close()
        os.close(self._file)


@contextmanager
def left_by_others(folder: Path) -> Iterator[list[Left]]:
    """What dead processes had in work, in any slot of the folder; their ledgers are emptied when the body is done.

    If the body fails they stay as they are. Meanwhile nobody else reads them, and no process starts in these slots.
    """
    found: list[Left] = []
    held: list[tuple[int, mmap.mmap]] = []
    try:
        for path in sorted(folder.glob("worker-*.inflight")):
            file = _lock(path)
            if file is None:
                continue
            if os.fstat(file).st_size != CELLS * CELL_BYTES:
                os.close(file)
                continue
            held.append((file, _mapped(file)))
            found += [left for _, left in _read(held[-1][1])]
        yield found
        for _, map in held:
            map[:] = bytes(len(map))
    finally:
        for file, map in held:
            map.close()
            os.close(file)


def _take(folder: Path, slot: str | None) -> tuple[str, Path, int]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in [slot] if slot is not None else map(str, range(SLOTS_MAX)):
            path = folder / f"worker-{name}.inflight"
            file = _lock(path, create=True)
            if file is not None:
                return name, path, file
    except OSError as error:
        raise LedgerError(
            f"{folder} cannot hold the worker's in-flight ledger: {error.strerror or error}; name another folder by --data"
        ) from None
    if slot is None:
        raise SlotTaken(f"all {SLOTS_MAX} slots in {folder} are taken; name another folder by --data")
    raise SlotTaken(f"another worker runs in slot {slot} of {folder}; leave --slot out, or name another one")


def _lock(path: Path, create: bool = False) -> int | None:
    """The file, locked; None if a living process has it, or it has just gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _mapped(file: int) -> mmap.mmap:
    """The file in memory, in full size on the disk: writing into a hole on a full disk would kill the process."""
    size = CELLS * CELL_BYTES
    try:
        if os.fstat(file).st_size != size:
            os.ftruncate(file, 0)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size)
            else:
                os.pwrite(file, bytes(size), 0)
        return mmap.mmap(file, size)
    except OSError as error:
        os.close(file)
        raise LedgerError(f"the worker's in-flight ledger needs {size} bytes on the disk: {error.strerror or error}") from None


def _read(map: mmap.mmap) -> Iterator[tuple[int, Left]]:
    """What is noted, by cell."""
    for cell in range(CELLS):
        at = cell * CELL_BYTES
        state, length = map[at], map[at + 1]
        if state in (_WAITING, _EXECUTING):
            reply = map[at + 2 : at + 2 + length].decode("ascii", "replace")
            if _REPLY.fullmatch(reply):
                yield cell, Left(reply, state == _EXECUTING)
