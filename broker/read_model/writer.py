"""The writer: changes into tables, positions with them, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from .changes import Changes

_STARTED = """
INSERT INTO runs(id, flow, version, digest, status, trigger, partition, started_at, parent, trace) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(id) DO UPDATE SET flow = excluded.flow, version = excluded.version, digest = excluded.digest, trigger = excluded.trigger,
    started_at = excluded.started_at, parent = excluded.parent, trace = excluded.trace
WHERE runs.digest = '' AND excluded.digest <> ''
"""
"""A row that is there stays, unless only a later part of the run had been seen, which knows little of it."""

_ENDED = """
INSERT INTO runs(id, flow, version, digest, status, trigger, partition, started_at, ended_at, duration_ms, error_type, error_message,
    parent, records, error, output, trace, source) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(id) DO UPDATE SET flow = excluded.flow, version = excluded.version, digest = excluded.digest,
    trigger = excluded.trigger, started_at = excluded.started_at, parent = excluded.parent, records = excluded.records,
    trace = excluded.trace, source = coalesce(excluded.source, runs.source),
    status = iif(excluded.records > runs.reopened, excluded.status, runs.status),
    ended_at = iif(excluded.records > runs.reopened, excluded.ended_at, NULL),
    duration_ms = iif(excluded.records > runs.reopened, excluded.duration_ms, NULL),
    error_type = iif(excluded.records > runs.reopened, excluded.error_type, NULL),
    error_message = iif(excluded.records > runs.reopened, excluded.error_message, NULL),
    error = iif(excluded.records > runs.reopened, excluded.error, NULL),
    output = iif(excluded.records > runs.reopened, excluded.output, NULL)
WHERE excluded.ended_at >= coalesce(runs.ended_at, 0)
"""
"""An end that the run had before it was reopened tells what run it is, and not how it is."""

_REOPENED = """
INSERT INTO runs(id, flow, version, digest, status, partition, started_at, source, reopened, steered_at)
    VALUES(?1, '', '', '', 'running', ?2, ?3, ?4, ?5, ?3)
ON CONFLICT(id) DO UPDATE SET source = coalesce(runs.source, excluded.source), reopened = excluded.reopened,
    steered_at = max(runs.steered_at, excluded.steered_at),
    status = iif(runs.records > excluded.reopened, runs.status, 'running'),
    ended_at = iif(runs.records > excluded.reopened, runs.ended_at, NULL),
    duration_ms = iif(runs.records > excluded.reopened, runs.duration_ms, NULL),
    error_type = iif(runs.records > excluded.reopened, runs.error_type, NULL),
    error_message = iif(runs.records > excluded.reopened, runs.error_message, NULL),
    error = iif(runs.records > excluded.reopened, runs.error, NULL),
    output = iif(runs.records > excluded.reopened, runs.output, NULL)
WHERE excluded.reopened > runs.reopened
"""
"""A run that has ended since, by a journal that goes on behind that place, stays ended."""

_PART = "INSERT OR IGNORE INTO parts(place, run, flow, first, records) SELECT ?, key, ?, ?, ? FROM runs WHERE id = ?"
_UNREADABLE = "INSERT OR IGNORE INTO parts(place, run, flow, first, records) VALUES(?, 0, ?, 0, 0)"
"""Of no run: it holds back retention, because a newer reader may be able to read it."""
_STEERED = "UPDATE runs SET status = ?, steered_at = ? WHERE id = ? AND ended_at IS NULL AND steered_at <= ?"
_LETTER = "INSERT OR IGNORE INTO dead(seq, kind, code, reason, subject, at, size_bytes) VALUES(?, ?, ?, ?, ?, ?, ?)"
_POSITION = "INSERT INTO positions(stream, seq) VALUES(?, ?) ON CONFLICT(stream) DO UPDATE SET seq = excluded.seq"
_TALLY = "INSERT INTO tallies(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value"


def write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write all of it or nothing. Raises sqlite3.Error (a full disk)."""
    ended = changes.ended
    started = [row for run, row in changes.started.items() if run not in ended]
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_STARTED, started)
        connection.executemany(_REOPENED, changes.reopened)
        connection.executemany(_ENDED, ended.values())
        connection.executemany(_PART, changes.parts)
        connection.executemany(_UNREADABLE, changes.unreadable)
        connection.executemany(_STEERED, changes.steered)
        connection.executemany(_LETTER, changes.letters)
        connection.executemany(_POSITION, changes.positions.items())
        if changes.refused:
            connection.execute(_TALLY, ("refused", changes.refused))


def positions(connection: sqlite3.Connection) -> dict[str, tuple[int, str]]:
    """Per stream: the last sequence taken in, and when the stream was created."""
    return {stream: (seq, created) for stream, seq, created in connection.execute("SELECT stream, seq, created FROM positions")}


def begin_stream(connection: sqlite3.Connection, stream: str, created: str) -> None:
    """Remember which stream it is that will be read from its beginning."""
    with connection:
        connection.execute("INSERT OR REPLACE INTO positions(stream, seq, created) VALUES(?, 0, ?)", (stream, created))


def name_versions(connection: sqlite3.Connection, versions: Mapping[str, str]) -> None:
    """Open runs that came in before their flow's version was known get it now. `versions`: by digest."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        sql = "UPDATE runs SET version = ? WHERE version = '' AND digest = ?"
        connection.executemany(sql, [(version, digest) for digest, version in versions.items()])


def refused(connection: sqlite3.Connection) -> int:
    """How many entries could not be read so far."""
    found = connection.execute("SELECT value FROM tallies WHERE name = 'refused'").fetchone()
    return 0 if found is None else int(found[0])
