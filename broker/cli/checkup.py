"""A checkup: everything that the doctor's checks look at, gathered once, by questions that change nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...schemas import messages, subjects
from ...schemas.errors import JetfleetError, UnreadableRecord
from ...schemas.messages import Lease, Member
from ...schemas.payload_errors import ArenaUnusable
from ..accept_loss import consumers_ahead
from ..api import Client, TriggerView
from ..api.letters import waiting_events
from ..api.unstarted import unstarted
from ..client import BrokerError
from ..deployment import Deployed, deployed
from ..fleet.roll_call import Present, roll_call, server_time_ns
from ..limit_views import LimitView
from ..observe.backlog import Backlog
from ..read_model import questions
from ..server.errors import ServerFailed
from ..server.monitor import ask, what_ails
from ..triggers.serving import UNTOLD, serves
from .arena_folder import IN_DATA, is_arena, open_folder

LIMITS_S = 2.0
"""How long the owners of partitions are waited for, which have to say what limits there are."""


@dataclass(slots=True)
class Checkup:
    """What was found. `jetstream`: how the server says that it stores; None where its monitoring port is not known. `stored_bytes`: how
    much it stores of everything. `ailment`: why it says that it does not take work. `consumers_ahead`: stream and consumer, of those that
    have had more than there is. `arena_error`: why the arena in the data folder cannot be used, "" if it can, or if there is none.
    `event_messages`: those that are stored, by subject.
    """

    client: Client
    data: Path
    round_trip_ms: float = 0.0
    skew_s: float = 0.0
    deployed: Deployed | None = None
    streams: set[str] = field(default_factory=set)
    jetstream: dict[str, Any] | None = None
    stored_bytes: int = 0
    ailment: str = ""
    consumers_ahead: list[tuple[str, str]] = field(default_factory=list)
    members: list[Present] = field(default_factory=list)
    leases: dict[int, str] = field(default_factory=dict)
    backlog: Backlog = field(init=False)
    undeployed: dict[str, int] = field(default_factory=dict)
    triggers: list[TriggerView] = field(default_factory=list)
    event_messages: dict[str, int] = field(default_factory=dict)
    letters: int = 0
    limits: list[LimitView] = field(default_factory=list)
    reader: dict[str, Any] | None = None
    reader_error: JetfleetError | None = None
    arena_error: str = ""

    def __post_init__(self) -> None:
        self.backlog = Backlog(self.client.connection)

    def may_serve(self, view: TriggerView) -> bool:
        """Whether somebody serves triggers of this type and flow, and has more of them than it tells of."""
        return any(each.facts.get(UNTOLD) and serves(each.facts, view.flow, view.type) for each in (at.member for at in self.members))

    @property
    def unstarted(self) -> Mapping[str, tuple[int, str]]:
        """By flow, how many events coordinators hold in memory, and why none begins."""
        return unstarted(present.member for present in self.members)

    def of_role(self, role: str) -> list[Member]:
        return [present.member for present in self.members if present.member.role == role]


async def examine(client: Client, data: Path, monitor: str | None = None) -> Checkup:
    """Gather it all. `data`: the folder of a server on this machine; `monitor`: the URL of its monitoring port. Raises BrokerError."""
    found = Checkup(client, data)
    connection = client.connection
    found.deployed = await deployed(connection)
    found.streams = set(await connection.streams.names())
    began = time.perf_counter()
    now_ns = await server_time_ns(connection)
    found.round_trip_ms = (time.perf_counter() - began) * 1e3
    found.skew_s = (time.time_ns() - now_ns) / 1e9 if now_ns else 0.0
    found.members = await roll_call(connection, now_ns)
    found.leases = await _leases(client)
    await found.backlog.refresh()
    found.undeployed = await waiting_events(connection, client.flows.names())
    found.triggers = await client.triggers()
    found.event_messages = (
        await connection.streams.subjects(subjects.EVENTS, subjects.event(">")) if subjects.EVENTS in found.streams else {}
    )
    dead = await connection.streams.stream_info(subjects.DEAD)
    found.letters = 0 if dead is None else int(dead["state"]["messages"])
    if found.deployed is not None:
        with suppress(BrokerError):  # a partition that nobody owns is told of by another check
            found.limits = await client.limits(patience_s=LIMITS_S)
    found.consumers_ahead = await consumers_ahead(connection)
    if (url := monitor or _monitor_of(data)) is not None:
        found.jetstream, found.stored_bytes = await _jetstream(url)
        found.ailment = "" if found.jetstream is None else await what_ails(url, alone=not connection.is_clustered)
    found.arena_error = _arena_error(data / IN_DATA)
    try:
        found.reader = await questions.reader(connection)
    except JetfleetError as error:
        found.reader_error = error
    return found


def _arena_error(folder: Path) -> str:
    if not is_arena(folder):
        return ""
    try:
        with open_folder(folder):
            return ""
    except ArenaUnusable as error:
        return str(error)


async def _leases(client: Client) -> dict[int, str]:
    """Owner by partition."""
    found = {}
    for stored in await client.connection.streams.last_of_each(subjects.FLEET, "lease.>"):
        try:
            found[int(stored.subject.partition(".")[2])] = messages.decode(Lease, stored.data).owner
        except (UnreadableRecord, ValueError):
            continue
    return found


async def _jetstream(url: str) -> tuple[dict[str, Any] | None, int]:
    """How the server stores, and how much it does, as its monitoring port says."""
    try:
        said = (await ask(url, "/varz")).get("jetstream", {})
    except ServerFailed:
        return None, 0
    config = said.get("config")
    return (config, int(said.get("stats", {}).get("storage", 0))) if isinstance(config, dict) else (None, 0)


def _monitor_of(data: Path) -> str | None:
    """The monitoring port of the server whose folder this is."""
    for file in data.glob("*.ports"):
        try:
            return str(json.loads(file.read_bytes())["monitoring"][0])
        except (OSError, ValueError, LookupError):
            continue
    return None
