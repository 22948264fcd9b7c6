"""Opening the object store of a deployment: where its chunks lie is said by JETFLEET_OBJECTS, the same for all processes."""

from __future__ import annotations

import os

from ..client import Connection
from .chunks import Chunks
from .external_chunks import ExternalChunks
from .store import ObjectStore
from .stream_chunks import StreamChunks

VARIABLE = "JETFLEET_OBJECTS"


def open_chunks(url: str | None, connection: Connection) -> Chunks:
    """The place with that url: `s3://bucket/prefix`, `file:///path`, …; None or "": the stream OBJECTS.

    Raises UsageError for a url that is none, or where the library for it is missing.
    """
    return ExternalChunks(url) if url else StreamChunks(connection)


def deployed_chunks(connection: Connection) -> Chunks:
    """The place that the environment names. Raises UsageError."""
    return open_chunks(os.environ.get(VARIABLE), connection)


def open_store(connection: Connection) -> ObjectStore:
    """The object store of the deployment that this connection leads to. Raises UsageError."""
    return ObjectStore(connection, deployed_chunks(connection))
