"""Whether all that lies in an arena is what was written: every entry's header and checksum is read and compared.

Changes nothing, and may run beside workers. A segment that is freed or used again while it is read is not a finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from .folder import FILES, ID, KEEPER_LOCK, LIVE, LOCK, ROOM_LOCK, ROOM_WANTED, Folder
from .locks import share
from .reader import crc_of_file
from .walk import SegmentWalk

_OWN_NAMES = {ID, KEEPER_LOCK, ROOM_LOCK, ROOM_WANTED, FILES}


@dataclass(frozen=True, slots=True)
class Finding:
    """`segment` is the name of a file in the folder. `offset`: where in it, None for the file as a whole. `run`: whose value it is, if
    that can be told. `problem`: what is wrong, in words.
    """

    segment: str
    offset: int | None
    run: str
    problem: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read, and what is wrong in it."""

    segments: int
    entries: int
    bytes: int
    findings: tuple[Finding, ...]


def check(folder: Folder) -> Checked:
    """Reads the whole arena. Takes as long as reading all its bytes."""
    findings = list(_foreign(folder))
    segments = entries = size = 0
    for file in folder.segments():
        if file.state != LIVE:
            continue
        fd = folder.open_file(file.file)
        if fd is None:
            if folder.inode(file.file) == file.inode:
                findings.append(Finding(file.file, None, "", "it belongs to another user, or others may read it"))
            continue
        try:
            if not share(fd):  # being freed
                continue
            walk = SegmentWalk(fd)
            found, right_bytes = _in_segment(walk, fd, file.file, findings)
        except OSError as error:
            findings.append(Finding(file.file, None, "", f"it cannot be read: {error.strerror}"))
            continue
        finally:
            os.close(fd)
        segments, entries, size = segments + 1, entries + found, size + right_bytes
    return Checked(segments, entries, size, tuple(findings))


def _in_segment(walk: SegmentWalk, fd: int, file: str, findings: list[Finding]) -> tuple[int, int]:
    """How many entries were read, and the bytes of their bodies."""
    if walk.header is None:
        findings.append(Finding(file, None, "", "it does not begin as segments do"))
    elif walk.truncated:
        findings.append(Finding(file, None, "", f"it was cut off: {walk.size_bytes} bytes of {walk.header.size_bytes} are left"))
    entries = size = 0
    for entry in walk.entries():
        entries, size = entries + 1, size + entry.length
        if crc_of_file(fd, entry.offset, entry.length) != entry.crc:
            findings.append(Finding(file, entry.offset, entry.run, f"its {entry.length} bytes do not match their checksum"))
    findings.extend(Finding(file, place, "", "where the header of an entry should be there is none") for place in walk.damaged)
    return entries, size


def _foreign(folder: Folder) -> Iterator[Finding]:
    """What is in the folder and is not the arena's."""
    segments = {file.file for file in folder.segments()}
    for name in sorted(folder.names()):
        if name in segments or name in _OWN_NAMES or name.endswith(LOCK) or name.startswith(f"{ID}."):
            continue
        yield Finding(name, None, "", "it is no file of an arena")
