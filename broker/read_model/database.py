"""The database: one SQLite file with every run, which can be deleted at any time and is then fed again.

    runs        a row per run, open or ended
    parts       where the pieces of its journal are in HISTORY; `place` is sequence and index in one integer
    dead        a row per dead letter
    positions   up to where each stream has been read, saved with the rows in one transaction
    tallies     what was counted on the way

Guarantees: one process writes (a lock beside the file), readers of the file never wait for it; after a kill -9 the file is what some
transaction left, rows and positions alike. A file of another schema version, or one that is no database, is thrown away.
Does not: hold anything that is not in the streams.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO

from .errors import ReadModelInUse, ReadModelUnwritable

VERSION = 3
FILE = "read_model.sqlite"
INDEX_BITS = 20
"""Of a `place`: entries of one message. A batch has some hundreds."""

_SCHEMA = """
CREATE TABLE runs(
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, flow TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    status TEXT NOT NULL, trigger TEXT, partition INTEGER NOT NULL, started_at INTEGER NOT NULL,
    ended_at INTEGER, duration_ms INTEGER, error_type TEXT, error_message TEXT, parent TEXT, records INTEGER NOT NULL DEFAULT 0,
    error BLOB, output BLOB, trace TEXT NOT NULL DEFAULT '', steered_at INTEGER NOT NULL DEFAULT 0,
    source TEXT, reopened INTEGER NOT NULL DEFAULT 0);
CREATE INDEX runs_of_flow ON runs(flow, started_at);
CREATE INDEX runs_of_flow_by_status ON runs(flow, status, started_at);
CREATE INDEX runs_by_status ON runs(status, started_at);
CREATE INDEX runs_by_start ON runs(started_at);
CREATE INDEX runs_of_parent ON runs(parent, started_at) WHERE parent IS NOT NULL;
CREATE INDEX runs_without_version ON runs(digest) WHERE version = '';
CREATE TABLE parts(
    place INTEGER PRIMARY KEY, run INTEGER NOT NULL, flow TEXT NOT NULL, first INTEGER NOT NULL, records INTEGER NOT NULL);
CREATE INDEX parts_of_run ON parts(run);
CREATE INDEX parts_of_flow ON parts(flow, place);
CREATE TABLE dead(
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, subject TEXT NOT NULL,
    at INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
CREATE TABLE positions(stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, created TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE tallies(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
TABLES = ("runs", "parts", "dead", "positions", "tallies")


class Database:
    """The file, held by this process until `close`. Connections to it are for one thread each."""

    def __init__(self, folder: Path, *, rebuild: bool = False) -> None:
        """Open the file in `folder`, or make it. Raises ReadModelInUse, ReadModelUnwritable."""
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder / f"{FILE}.lock")
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            if rebuild or not self._is_current():
                self._remove()
            self._create()
        except (OSError, sqlite3.Error) as error:
            self._lock.close()
            raise self._unwritable(error) from None

    def writer(self) -> sqlite3.Connection:
        """The connection that writes. There is to be one."""
        connection = self._connect()
        # A kill -9 loses nothing; a power cut may lose the last transactions, with their positions.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")
        return connection

    def reader(self) -> sqlite3.Connection:
        """A connection that cannot write."""
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def close(self) -> None:
        """Let go of the file. Connections have to be closed before."""
        self._lock.close()

    def _unwritable(self, error: Exception) -> ReadModelUnwritable:
        return ReadModelUnwritable(
            f"the read model {self.path} cannot be opened: {error}; give a folder that can be written to with --data"
        )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def _is_current(self) -> bool:
        """Whether the file is there, can be read, and has this schema."""
        if not self.path.exists():
            return False
        with contextlib.closing(self._connect()) as connection, contextlib.suppress(sqlite3.DatabaseError):
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute("SELECT 1 FROM positions LIMIT 1")
            return version == VERSION
        return False

    def _create(self) -> None:
        if self.path.exists():
            return
        with contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            # The version last: what a kill leaves half made is then thrown away.
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)


def clear(connection: sqlite3.Connection) -> None:
    """Forget everything, to be fed anew."""
    with connection:
        connection.execute("BEGIN")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")


def place(seq: int, index: int) -> int:
    return seq << INDEX_BITS | index


def seq_of(place: int) -> int:
    return place >> INDEX_BITS


def index_of(place: int) -> int:
    return place & ((1 << INDEX_BITS) - 1)


def _lock(path: Path) -> IO[str]:
    """Held as long as the file is open, so a killed process leaves no lock behind."""
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ReadModelInUse(
            f"the reader with pid {holder} keeps {path.parent / FILE}; stop it, or give another folder with --data"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
