"""Providers: everything of the outside world that node code reaches through its context, each behind a small seam.

A worker builds one `Services` and shares it among all its attempts. A test builds one with the parts it wants to control; nothing else in a
worker touches clock, network, files or environment on behalf of node code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from .clock import Clock, SystemClock
from .http_client import HttpClient, PooledHttpClient
from .identity import Identity
from .kafka_client import KafkaClient, KafkaProducers
from .secrets import Secrets


class Files(Protocol):
    """Files by path. Raises OSError as the operating system has it."""

    def read_bytes(self, path: str) -> bytes: ...

    def read_text(self, path: str) -> str: ...

    def write_bytes(self, path: str, content: bytes) -> None: ...

    def write_text(self, path: str, content: str) -> None: ...

    def exists(self, path: str) -> bool: ...


class LocalFiles:
    """The files of this machine. A file appears whole or not at all: it is written beside its place and moved there."""

    def read_bytes(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def read_text(self, path: str) -> str:
        return Path(path).read_text(encoding="utf-8")

    def write_bytes(self, path: str, content: bytes) -> None:
        target = Path(path)
        beside = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            beside.write_bytes(content)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def write_text(self, path: str, content: str) -> None:
        self.write_bytes(path, content.encode())

    def exists(self, path: str) -> bool:
        return Path(path).exists()


Reporter: TypeAlias = "Callable[[Identity, Any], None]"
"""Takes a sign of life of an attempt: who it is, and what it says about its progress."""


def _unheard(identity: Identity, detail: Any) -> None:
    """Nobody listens: in the library mode an attempt cannot get lost, so it needs no sign of life."""


@dataclass(slots=True)
class Services:
    """What the contexts of one worker share."""

    clock: Clock = field(default_factory=SystemClock)
    http: HttpClient = field(default_factory=PooledHttpClient)
    fs: Files = field(default_factory=LocalFiles)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    report: Reporter = _unheard
    secrets: Secrets = field(init=False)
    kafka: KafkaClient = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = Secrets(self.environ)
        self.kafka = KafkaProducers(self.environ)

    async def close(self) -> None:
        await self.http.close()
        await self.kafka.close()
