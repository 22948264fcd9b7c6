"""The store: the database behind two threads, one that writes and one that reads, so that the event loop is never kept waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from .database import Database

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Store:
    """Work is a function of a connection. What reads sees everything that was written before it was called."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._writer, self._reader = database.writer(), database.reader()
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="read-model-writer")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="read-model-reader")

    async def write(
        self, work: Callable[Concatenate[sqlite3.Connection, Arguments], Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Raises sqlite3.Error, as the work does."""
        return await asyncio.get_running_loop().run_in_executor(self._writing, lambda: work(self._writer, *args, **kwargs))

    async def read(
        self, work: Callable[Concatenate[sqlite3.Connection, Arguments], Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._reading, lambda: work(self._reader, *args, **kwargs))

    async def close(self) -> None:
        """Finish what was begun, and let go of the file."""
        await self.write(sqlite3.Connection.close)
        await self.read(sqlite3.Connection.close)
        self._writing.shutdown()
        self._reading.shutdown()
        self.database.close()
