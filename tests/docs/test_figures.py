"""The figures that pages about the fleet name are those of the code."""

from __future__ import annotations

import pytest

from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.cli import arena_options
from jetfleet.broker.coordinator import effects, ended_runs, intake, owner, partition, timers
from jetfleet.broker.engine import waits
from jetfleet.broker.fleet import membership
from jetfleet.broker.objects import janitor, patience
from jetfleet.broker.payloads import remote, room
from jetfleet.broker.server import ServerSettings
from jetfleet.broker.topology import TASKS_BYTES, flow_consumer_config, queue_consumer_config, streams
from jetfleet.schemas import limits, subjects
from jetfleet.workers import executor
from jetfleet.workers.fleet import settings

from .tables import DOCS

ACK_WAIT_S = queue_consumer_config("q")["ack_wait"] // 10**9
EVENT_WAIT_S = flow_consumer_config("f")["ack_wait"] // 10**9
BEAT_MS = membership.BEAT_MS[membership.COORDINATOR]
TTL_S = membership.ttl_s(BEAT_MS)
SHARE = {stream.name: f"{stream.share:.0%}".replace("%", " %") for stream in streams(1)}

FLEET = [
    f"`+WPI` every {intake.HELD_EVERY_S} s; their `ack_wait` is {EVENT_WAIT_S} s",
    f"at most every {owner.PROGRESS_S * 1_000:.0f} ms",
    f"heartbeat ({BEAT_MS} ms)",
    f"TTL (four beats, {TTL_S:g} s)",
    f"Every {owner.SNAPSHOT_EVERY_S:g} s, if {owner.SNAPSHOT_RECORDS:,} records",
    f"beyond {partition.TAIL_MAX_BYTES >> 10} KiB",
    f"short ({settings.PREFETCH_ATTEMPT_MAX_US // 1_000} ms on average)",
    f"with {settings.UNACKNOWLEDGED_MAX} messages",
    f"can be short: {ACK_WAIT_S} s",
    f"`max_deliveries` ({settings.WorkerSettings().max_deliveries})",
    f"at most {executor.APART_MAX} at a time",
    f"only after {settings.LIVES * settings.WorkerSettings().max_deliveries} of them",
    f"may have {limits.PAYLOAD_INLINE_MAX_BYTES >> 10} KiB",
]
RELIABILITY = [
    f"`ack_wait` ({ACK_WAIT_S} s)",
    f"after {TTL_S:g} s of silence",
    f"more than {owner.ENDED_KEPT:,} runs",
    f"EVENTS ({SHARE['EVENTS']} of the store)",
    f"a WAL ({SHARE['WAL_0']} of the store",
    f"SNAPSHOTS ({SHARE['SNAPSHOTS']})",
    f"HISTORY ({SHARE['HISTORY']})",
    f"OBJECTS ({SHARE['OBJECTS']})",
    f"DEAD has {SHARE['DEAD']} of the store",
    f"TASKS ({TASKS_BYTES >> 20} MiB of memory)",
    f"with {settings.UNACKNOWLEDGED_MAX} of them",
    f"| {limits.PAYLOAD_INLINE_MAX_BYTES >> 10} KiB.",
    f"| {limits.MESSAGE_MAX_BYTES >> 20} MiB:",
    f"those of {waits.EARLY_NAMES_MAX:,} names",
    f"the last {waits.SEEN_MAX:,}",
    f"{effects.DEPTH_MAX} deep",
    f"fails as `{settings.POISON}`",
    f"fails as `{settings.PAYLOAD_TOO_LARGE}`",
    f"whoever needs one asks for {remote.GIVE_UP_S:g} s",
]
OPERATIONS = [
    f"`--arena-keep` ({arena_options.KEEP_S_DEFAULT:g} s)",
    f"Add a segment ({ArenaSettings(DOCS).segment_bytes >> 20} MiB)",
    f"OBJECTS has {SHARE['OBJECTS']} of the server's store",
    f"after {remote.GIVE_UP_S:g} s what can be made again is",
]


@pytest.mark.parametrize(("page", "figures"), [("fleet.md", FLEET), ("reliability.md", RELIABILITY), ("operations.md", OPERATIONS)])
def test_the_figures_of_a_page_are_those_of_the_code(page: str, figures: list[str]) -> None:
    text = " ".join((DOCS / page).read_text().split())
    assert [each for each in figures if each not in text] == []


def test_what_pages_say_in_words_is_so() -> None:
    assert timers.HORIZON_MS == 10 * 60_000, "ten minutes (fleet.md)"
    assert settings.PREFETCH == 2 and membership.TTL_BEATS == 4 and owner.SNAPSHOT_IDLE_S == 60
    assert settings.WorkerSettings().max_deliveries - settings.SUSPECT_DEATHS == 3, "that process dies three times (reliability.md)"
    assert janitor.GRACE_S == 60 and janitor.STRAY_S == 3_600, "a minute later; after an hour (payloads.md)"
    assert patience.PATIENCE_S == room.ROOM_WAIT_S == 30, "half a minute (payloads.md, reliability.md, operations.md, nodes.md)"
    assert settings.SUSPECT_DEATHS == 2, "from the second on"
    assert ServerSettings().sync == "always"
    oldest_s = (ended_runs.WINDOW_MS - ended_runs.GENERATION_MS) / 1_000 - owner.SNAPSHOT_IDLE_S
    assert oldest_s >= 50 * 60, "at least 50 minutes"
    assert {stream.name for stream in streams(1) if stream.discard == "old"} == {"TIMERS", "HISTORY", "APPROVALS", "DEAD", "PROGRESS"}
    assert subjects.QUEUE_DEFAULT == "default"
