"""The handle of a run that was started here, or is looked at: await its result, and steer it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...schemas.messages import RunView
from ...schemas.records import Record
from ..run_result import RunResult
from .endings import Ending
from .reopening import Report
from .result import Result

if TYPE_CHECKING:
    from .client import Client


class RunHandle:
    """Made by `Client.start`, `fire` and `handle`. It notices the run's end as long as it is kept.

    `held`: why the run did not begin at once, where its trigger was paused when it was started; else "". `reopened`: what stays and what
    goes out again, where it came of `retry` or `fork`.
    """

    __slots__ = ("_client", "_ending", "held", "id", "reopened")

    def __init__(self, client: Client, ending: Ending, held: str = "", reopened: Report | None = None) -> None:
        self._client = client
        self._ending = ending
        self.id = ending.run
        self.held = held
        self.reopened = reopened

    def __repr__(self) -> str:
        return f"RunHandle({self.id!r})"

    async def result(self, timeout_s: float | None = None, *, fetch: bool = True) -> Result:
        """How the run ended; waits for it, and fetches what of its output lies elsewhere, unless `fetch` says not to.

        Raises NotEnded after `timeout_s` seconds; with `fetch` also PayloadLost, PayloadCorrupt, UnknownCodec, KeyMissing, BrokerError.
        """
        return await self._client.wait(self._ending, timeout_s, fetch)

    async def joined(self, timeout_s: float | None = None) -> RunHandle:
        """Itself; where the event became a run together with others, the handle of that run (`CollectedHandle`)."""
        return self

    async def look(self) -> RunView | None:
        """How it is right now; None if it is not open, or nobody answers."""
        return await self._client.look(self.id)

    async def show(self) -> RunResult:
        """Everything about it, open or ended. Raises UnknownRun, ReaderAbsent."""
        return await self._client.show(self.id)

    async def history(self) -> list[Record]:
        """Its journal. Raises UnknownRun."""
        return await self._client.history(self.id)

    async def signal(self, name: str, value: Any = None, *, id: str = "") -> None:
        """Send a signal or the answer to an approval; kept if nobody waits for it yet."""
        await self._client.signal(self.id, name, value, id=id)

    async def cancel(self, reason: str = "") -> None:
        await self._client.cancel(self.id, reason)

    async def kill(self, reason: str = "") -> None:
        await self._client.kill(self.id, reason)

    async def pause(self, reason: str = "") -> None:
        await self._client.pause(self.id, reason)

    async def resume(self) -> None:
        await self._client.resume(self.id)

    async def retry(self, *, reason: str = "") -> RunHandle:
        """Let it go on after it failed; see `Client.retry`. The handle of its new life: this one knows how the last one ended."""
        return await self._client.retry(self.id, reason=reason)

    async def fork(
        self, node: str, *, set: Mapping[str, Any] = MappingProxyType({}), id: str = "", version: str = "same", reason: str = ""
    ) -> RunHandle:
        """Let a copy of it go on from a node; see `Client.fork`."""
        return await self._client.fork(self.id, node, set=set, id=id, version=version, reason=reason)
