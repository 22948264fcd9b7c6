"""The memory: which version of each file has fired. Durable, so that who begins again fires what is new since, and nothing else.

    one SQLite file per source, in WAL mode; a row per file: path, mark, and what is still to be done with it

Guarantees: what `change` has returned for survives the death of the process. A power cut may take the last moments, a file that is
removed takes all: then files fire again, under the same keys. Several processes may use one memory.
Does not: keep the files' contents, or any history.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...broker.triggers.source import SourceBroken, SourceFailed
from .entry import Entry, Mark

KEEP, DELETE, MOVE, MOVE_FAILED = "", "delete", "move", "failed"
"""What is still to be done with a file that has fired."""
_TABLES = """
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, inode INTEGER NOT NULL,
    todo TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_inode ON files (inode);
CREATE INDEX IF NOT EXISTS files_to_do ON files (path) WHERE todo != '';
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (flow TEXT, trigger TEXT, last_ns INTEGER NOT NULL, PRIMARY KEY (flow, trigger)) WITHOUT ROWID;
"""
_WAIT_S = 10.0
_ASKED_AT_ONCE = 500
_FIELDS = "path, mtime_ns, size, inode"
_INTEGERS = range(-(1 << 63), 1 << 63)
"""Those that the base has. File systems have others: times after the year 2262, inodes of 64 bits."""


class Memory:
    """Used by one thread at a time. Any method raises SourceFailed while the disk is full, SourceBroken if the file is none of ours."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._errors():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(_TABLES)
            self._base.execute("INSERT OR IGNORE INTO facts VALUES ('began_ns', ?)", (time.time_ns(),))

    def close(self) -> None:
        self._base.close()

    # --- whose it is

    def served(self) -> dict[tuple[str, str], int]:
        """The triggers that it has served, and when it last began to, in ns since the epoch."""
        with self._errors():
            return {(flow, trigger): last_ns for flow, trigger, last_ns in self._base.execute("SELECT * FROM served")}

    def serves(self, triggers: Sequence[tuple[str, str]], now_ns: int) -> None:
        with self._errors():
            self._base.executemany("INSERT OR REPLACE INTO served VALUES (?, ?, ?)", [(*trigger, now_ns) for trigger in triggers])

    def take_over(self, other: Path) -> None:
        """Know what another memory knows too."""
        with self._errors():
            self._base.execute("ATTACH DATABASE ? AS other", (str(other),))
            try:
                self._base.execute("INSERT OR REPLACE INTO files SELECT * FROM other.files")
                self._base.execute("INSERT OR REPLACE INTO facts SELECT * FROM other.facts")
            finally:
                self._base.execute("DETACH DATABASE other")

    # --- what has fired

    @property
    def began_ns(self) -> int:
        """When this memory was made."""
        return self._fact("began_ns")

    @property
    def has_scanned(self) -> bool:
        """Whether everything that was there at the very first start has been looked at."""
        return bool(self._fact("has_scanned"))

    def scanned(self) -> None:
        with self._errors():
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('has_scanned', 1)")

    def known(self, paths: Sequence[str]) -> dict[str, Mark]:
        """The marks with which these files have fired."""
        found: dict[str, Mark] = {}
        with self._errors():
            for asked in _pieces([os.fsencode(path) for path in paths]):
                rows = self._base.execute(f"SELECT {_FIELDS} FROM files WHERE path IN ({_places(asked)})", asked)
                found |= {os.fsdecode(path): _mark(mark) for path, *mark in rows}
        return found

    def of_marks(self, marks: Sequence[Mark]) -> dict[Mark, list[str]]:
        """The files that have fired with these marks: those that others, with other paths, may have been."""
        found: dict[Mark, list[str]] = {}
        with self._errors():
            for asked in _pieces([_stored(mark.inode) for mark in marks]):
                for path, *mark in self._base.execute(f"SELECT {_FIELDS} FROM files WHERE inode IN ({_places(asked)})", asked):
                    found.setdefault(_mark(mark), []).append(os.fsdecode(path))
        return found

    def count(self) -> int:
        """How many files are remembered, but for those that are on their way out."""
        with self._errors():
            (count,) = self._base.execute("SELECT COUNT(*) FROM files WHERE todo = ''").fetchone()
        return int(count)

    def after(self, path: str, count: int) -> list[Entry]:
        """The next files behind a path, in the order of paths; without those that are on their way out."""
        asked = "path > ? AND todo = '' ORDER BY path LIMIT ?"
        with self._errors():
            rows = self._base.execute(f"SELECT {_FIELDS} FROM files WHERE {asked}", (os.fsencode(path), count))
            return [Entry(os.fsdecode(path), _mark(mark)) for path, *mark in rows]

    def to_do(self, path: str, count: int) -> list[tuple[Entry, str]]:
        """The next files behind a path with which something is still to be done."""
        asked = "path > ? AND todo != '' ORDER BY path LIMIT ?"
        with self._errors():
            rows = self._base.execute(f"SELECT {_FIELDS}, todo FROM files WHERE {asked}", (os.fsencode(path), count))
            return [(Entry(os.fsdecode(path), _mark(mark)), todo) for path, *mark, todo in rows]

    def change(self, remember: Iterable[tuple[Entry, str]] = (), forget: Iterable[str] = ()) -> None:
        """Remember files, with what is to be done with them, and forget others, all or nothing."""
        with self._errors():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                self._base.executemany("DELETE FROM files WHERE path = ?", ((os.fsencode(path),) for path in forget))
                self._base.executemany(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                    ((os.fsencode(entry.path), *map(_stored, entry.mark), todo) for entry, todo in remember),
                )
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _fact(self, name: str) -> int:
        with self._errors():
            row = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise SourceFailed(f"what the trigger remembers cannot be read or written: {self.file}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise SourceBroken(
                f"{self.file} is no memory of a trigger: {error}. Remove it, with its -wal and -shm: then what lies in the folder "
                "fires again, under the same keys"
            ) from None


def _stored(number: int) -> int | bytes:
    """As it stands in the base, each in its own way: digits, where it is none of the base's integers."""
    return number if number in _INTEGERS else b"%d" % number


def _mark(stored: Iterable[int | bytes]) -> Mark:
    return Mark(*map(int, stored))


def _pieces(asked: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (asked[start : start + _ASKED_AT_ONCE] for start in range(0, len(asked), _ASKED_AT_ONCE))


def _places(asked: Sequence[Any]) -> str:
    return ",".join("?" * len(asked))
