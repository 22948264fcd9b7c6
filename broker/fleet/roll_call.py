"""A roll call: who is there, asked once of the server by somebody who is no member.

A member is taken to be there when its last beat is young enough by the server's clock. The clocks here and of the members do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Member
from ..client import Connection
from ..client.stored import time_ns
from .membership import ttl_s


@dataclass(frozen=True, slots=True)
class Present:
    """A member that is there. `skew_s`: by how much its clock is ahead of the server's, give or take the time a beat travels."""

    member: Member
    skew_s: float


async def server_time_ns(connection: Connection) -> int:
    """The server's clock, ns since the epoch; 0 if nothing is deployed there. Raises BrokerError."""
    info = await connection.streams.stream_info(subjects.FLEET)
    return 0 if info is None else time_ns(info["ts"])


async def roll_call(connection: Connection, now_ns: int | None = None) -> list[Present]:
    """The members, by id; `now_ns`: the server's time, where it is known already. Raises BrokerError."""
    now_ns = await server_time_ns(connection) if now_ns is None else now_ns
    found = []
    for stored in await connection.streams.last_of_each(subjects.FLEET, subjects.member(">")):
        try:
            member = messages.decode(Member, stored.data)
        except UnreadableRecord:
            continue
        if not member.leaving and now_ns - stored.time_ns < ttl_s(member.beat_ms) * 1e9:
            found.append(Present(member, member.at / 1e3 - stored.time_ns / 1e9))
    return sorted(found, key=lambda present: present.member.id)
