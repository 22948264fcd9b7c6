"""Open runs, counted: how many each version of a flow has, as the owners of the partitions know it right now.

Nothing is kept for it, and no reader is needed. A partition that changes hands does not answer; whoever needs to be certain looks again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from ...schemas import subjects
from ...schemas.messages import FAILURES
from ..client import BrokerError, Connection

ANSWER_S = 2.0
_answer = msgspec.msgpack.Decoder(list[tuple[str, str, int]])


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """`by_version`: by flow and digest. `silent`: the partitions whose runs are not among them, since nobody answered for them."""

    by_version: Counter[tuple[str, str]] = field(default_factory=Counter)
    silent: tuple[int, ...] = ()

    def of(self, flow: str, digest: str | None = None) -> int:
        """Of a flow, or of one of its versions."""
        return sum(count for (name, version), count in self.by_version.items() if name == flow and digest in (None, version))

    def versions(self, flow: str) -> dict[str, int]:
        """By digest, those that have any."""
        return {version: count for (name, version), count in self.by_version.items() if name == flow and count}


async def open_runs(connection: Connection, partitions: int, flow: str | None = None) -> OpenRuns:
    """The open runs of one flow, or of all. Nobody is there: every partition is silent, at once."""
    answers = await asyncio.gather(*(_of(connection, partition, flow) for partition in range(partitions)))
    total: Counter[tuple[str, str]] = Counter()
    for answer in answers:
        total.update(answer or {})
    return OpenRuns(total, tuple(partition for partition, answer in enumerate(answers) if answer is None))


async def _of(connection: Connection, partition: int, flow: str | None) -> dict[tuple[str, str], int] | None:
    try:
        answer = await connection.request(subjects.count(partition), msgspec.msgpack.encode([flow]), timeout_s=ANSWER_S)
        return {(name, digest): count for name, digest, count in _answer.decode(answer.data)}
    except (BrokerError, *FAILURES):
        return None
