"""The doctor's checks: each looks at one thing, and says in one line how it is and, where something is wrong, what to do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator

from ...schemas.errors import JetfleetError
from ...schemas.flow.node_types import Kind, node_type
from ...schemas.sizes import size_text
from ...schemas.subjects import FLEET, QUEUE_DEFAULT, SIGNALS, queue_stream
from ..api.unstarted import REASONS
from ..deployment import partitions_among
from ..fleet.arenas import room_wanted, silent_hosts
from ..fleet.membership import COORDINATOR, READER, TRIGGER, WORKER
from ..high_water import HighWater, file_name
from ..server.folder import RESERVE_BYTES
from ..topology import streams
from .checkup import Checkup
from .finding import Finding, Grade
from .trigger_checks import triggers

SKEW_MAX_S = 1.0
FULL_NOTE, FULL_BAD = 0.7, 0.9
"""Shares of a stream's room that are taken. What is full refuses everything new."""
WAITING_NOTE, LIMITS_TOLD = 1_000, 5
"""So many at one limit are told of, for so many limits."""
OLD_S = 60.0
"""What nobody has taken for so long is not about to be taken."""


def server(found: Checkup) -> Iterator[Finding]:
    connection = found.client.connection
    yield Finding("server", "ok", f"nats-server {connection.server_version} at {connection.url}, {found.round_trip_ms:.1f} ms away")
    if found.ailment:
        todo = "what was acknowledged is safe; make room if its disk is full, and start the server again"
        yield Finding("server", "bad", f"says that it does not take work: {found.ailment}; {todo}")


def consumers(found: Checkup) -> Iterator[Finding]:
    for stream, name in found.consumers_ahead:
        todo = "it passes over what is new; stop the coordinators, then `jetfleet doctor --accept-loss`"
        yield Finding("streams", "bad", f"consumer {name} has had more messages of {stream} than that has: {todo}")


def sync(found: Checkup) -> Iterator[Finding]:
    if found.jetstream is None:
        yield Finding("sync", "note", "not known here; run this where the server's --data is, or name its --monitor URL")
    elif found.jetstream.get("sync_always"):
        yield Finding("sync", "ok", "always: on disk before it is acknowledged")
    else:
        every_s = found.jetstream.get("sync_interval", 0) / 1e9
        yield Finding(
            "sync", "bad", f"every {every_s:g} s: a power cut loses what was acknowledged since; start the server with --sync always"
        )


def deployment(found: Checkup) -> Iterator[Finding]:
    here = found.deployed
    if here is None and partitions_among(found.streams):
        todo = "restore the server's store, or `jetfleet doctor --accept-loss`"
        yield Finding("streams", "bad", f"{FLEET} is gone or empty, which says what is deployed: {todo}")
        return
    if here is None:
        yield Finding("streams", "bad", "nothing is deployed; start a coordinator, or `jetfleet up`")
        return
    missing = [stream.name for stream in streams(here.partitions) if stream.name not in found.streams]
    if missing:
        yield Finding(
            "streams", "bad", f"missing: {', '.join(missing)}; those in memory come back with a coordinator, others from a backup"
        )
    else:
        copies = "1 copy" if here.replicas == 1 else f"{here.replicas} copies"
        yield Finding("streams", "ok", f"{here.partitions} partitions, {copies}, {size_text(here.store_bytes)} of store")


def room(found: Checkup) -> Iterator[Finding]:
    shares = {name: use.share for name, use in found.backlog.streams.items() if not name.startswith(queue_stream(""))}
    if not shares:
        return
    name = max(shares, key=lambda each: shares[each])
    grade: Grade = "bad" if shares[name] > FULL_BAD else "note" if shares[name] > FULL_NOTE else "ok"
    todo = "; give the server more (--max-store)" if grade != "ok" else ""
    yield Finding("room", grade, f"{shares[name]:.0%} of {name} is taken, the fullest stream{todo}")


def store(found: Checkup) -> Iterator[Finding]:
    """Of the whole server: others may take what streams have not reserved. Then it refuses everybody everything, heartbeats too."""
    limit = 0 if found.jetstream is None else int(found.jetstream.get("max_storage", 0))
    share = found.stored_bytes / limit if limit else 0.0
    if share > FULL_NOTE:
        used = f"{size_text(found.stored_bytes)} of the {size_text(limit)} that the server may store are taken"
        todo = "purge or delete other streams of this server, or give it more (--max-store); it goes on by itself"
        yield Finding("room", "bad" if share > FULL_BAD else "note", f"{used}; {todo}")


def full_queues(found: Checkup) -> Iterator[Finding]:
    """They are small on purpose, so one that is half full is nothing to speak of."""
    prefix = queue_stream("")
    for name, use in found.backlog.streams.items():
        if name.startswith(prefix) and use.share >= 1:
            todo = "look whether its triggers are paused, or give it more capacity"
            yield Finding("room", "bad", f"queue {name.removeprefix(prefix)} is full and refuses messages; {todo}")


def disk(found: Checkup) -> Iterator[Finding]:
    if not found.data.is_dir():
        return
    free = shutil.disk_usage(found.data).free
    grade: Grade = "ok" if free > RESERVE_BYTES else "bad"
    yield Finding(
        "disk", grade, f"{size_text(free)} free at {found.data}" + ("" if grade == "ok" else "; make room before the server stops")
    )


def clocks(found: Checkup) -> Iterator[Finding]:
    skews = {"this machine": found.skew_s} | {present.member.id: present.skew_s for present in found.members}
    worst = max(skews, key=lambda each: abs(skews[each]))
    if abs(skews[worst]) > SKEW_MAX_S:
        ahead = "ahead of" if skews[worst] > 0 else "behind"
        yield Finding(
            "clocks", "bad", f"{worst} is {abs(skews[worst]):.1f} s {ahead} the server: timers fire by it; synchronise the clocks"
        )
    else:
        yield Finding("clocks", "ok", "all within a second of the server's")


def members(found: Checkup) -> Iterator[Finding]:
    counts = {role: len(found.of_role(role)) for role in (COORDINATOR, WORKER, READER)}
    there = ", ".join(f"{count} {role}{'' if count == 1 else 's'}" for role, count in counts.items())
    serving = len(found.of_role(TRIGGER))
    there += f", {serving} trigger {'process' if serving == 1 else 'processes'}" if serving else ""  # not every fleet needs one
    absent = [role for role, count in counts.items() if not count]
    yield Finding(
        "members", "bad" if absent else "ok", there + (f"; start: {', '.join(f'jetfleet {role}' for role in absent)}" if absent else "")
    )
    versions = {present.member.version for present in found.members}
    if len(versions) > 1:
        yield Finding("members", "note", f"several versions are running: {', '.join(sorted(versions))}")


def partitions(found: Checkup) -> Iterator[Finding]:
    if found.deployed is None:
        return
    there = {member.id for member in found.of_role(COORDINATOR)}
    orphans = [number for number in range(found.deployed.partitions) if found.leases.get(number, "") not in there]
    if orphans:
        which = ", ".join(map(str, orphans))
        yield Finding("partitions", "bad", f"nobody owns {which}: their runs stand still; a coordinator takes them within seconds")
    else:
        yield Finding("partitions", "ok", f"all {found.deployed.partitions} are owned")
    for member in found.of_role(COORDINATOR):
        for trouble in filter(None, (member.facts.get("closed"), member.facts.get("blocked"))):
            yield Finding("partitions", "bad", f"{member.id}: {trouble}")


def queues(found: Checkup) -> Iterator[Finding]:
    """What the deployed flows need, and what waits already, against what the workers take."""
    taken = {queue for worker in found.of_role(WORKER) for queue in worker.facts.get("queues", ())}
    needed = _queues_of_flows(found)
    waiting = {queue: wait.count for queue, wait in found.backlog.queues.items() if wait.count}
    lonely = sorted((set(needed) | set(waiting)) - taken)
    for queue in lonely:
        count = f"{waiting[queue]:,} messages of tasks wait; " if queue in waiting else ""
        of = f" (flows {', '.join(needed[queue])})" if queue in needed else ""
        yield Finding("queues", "bad", f"no worker takes from queue {queue}{of}: {count}start `jetfleet worker --queue {queue}`")
    if not lonely:
        yield Finding("queues", "ok", f"workers take from {', '.join(sorted(taken)) or 'none, and none is needed'}")


def arenas(found: Checkup) -> Iterator[Finding]:
    """Those of all hosts, as their workers tell of them, and the one in the data folder here."""
    if found.arena_error:
        yield Finding("arenas", "bad", found.arena_error)
    shares: dict[str, float] = {}
    for worker in found.of_role(WORKER):
        host, full = worker.facts.get("arena"), worker.facts.get("arena_full")
        if isinstance(full, str):
            yield Finding("arenas", "bad", f"{worker.id}: {full}")
        elif host and isinstance(full, int | float):
            shares[host] = max(full, shares.get(host, 0.0))
    for host in sorted({host for _, host in silent_hosts(found.of_role(WORKER))}):
        todo = "start a worker with its arena; else idempotent nodes are executed again, and other runs fail with payload_lost"
        yield Finding("arenas", "bad", f"values of host {host} are asked for, and none of its processes answers: {todo}")
    for host, count in sorted(Counter(host for _, host in room_wanted(found.of_role(WORKER))).items()):
        todo = "`jetfleet arena stats` there says which hold it, --arena-max gives it more"
        yield Finding("arenas", "note", f"values of {count} {'run' if count == 1 else 'runs'} wait for room in the arena of {host}: {todo}")
    for host, full in sorted(shares.items()):
        if full > FULL_NOTE:
            todo = "who finds no room waits; `jetfleet arena stats` there says which runs hold it, --arena-max gives it more"
            yield Finding("arenas", "bad" if full > FULL_BAD else "note", f"{full:.0%} of the arena of {host} is taken: {todo}")
    if shares and max(shares.values()) <= FULL_NOTE:
        yield Finding("arenas", "ok", f"{len(shares)} {'host' if len(shares) == 1 else 'hosts'}, {max(shares.values()):.0%} taken at most")


def node_types(found: Checkup) -> Iterator[Finding]:
    workers = found.of_role(WORKER)
    known = {type for worker in workers for type in worker.facts.get("types", ())}
    if not workers:
        return
    for flow in found.client.flows.names():
        plans = found.client.flows.begun_with(flow)
        own = {node.type for plan in plans for node in plan.nodes if node.kind == Kind.TASK and node_type(node.type) is None}
        for type in sorted(own - known):
            yield Finding(
                "nodes", "bad", f"no worker has {type}, which flow {flow} needs: start `jetfleet worker --nodes …` with its module"
            )


def flows(found: Checkup) -> Iterator[Finding]:
    registry = found.client.flows
    names = registry.names()
    yield Finding("flows", "ok" if names else "note", f"{len(names)} deployed" if names else "none is deployed; `jetfleet deploy FILE`")
    for name in names:
        version = registry.version(name)
        if version is not None and registry.current(name) is None:
            yield Finding("flows", "bad", f"{name} {version.version} cannot be read here; deploy it again with this version of jetfleet")
    for name in filter(registry.is_held, names):
        yield Finding("flows", "note", held_flow(found, name))
    for name, (_, reason) in sorted(found.unstarted.items()):
        failed = f"; `jetfleet runs list 'flow = {name} and status = failed'` shows why" if reason == "breaker" else ""
        yield Finding("flows", "note", f"{name} starts no runs at the moment: {REASONS[reason]}{failed}")


def held_flow(found: Checkup, name: str) -> str:
    """What is to be said of a flow that starts no runs, by decision."""
    state = found.client.flows.state(name)
    waiting = sum(count for subject, count in found.event_messages.items() if subject.split(".")[1] == name)
    waits = f"{waiting:,} {'message of events waits' if waiting == 1 else 'messages of events wait'}" if waiting else "no event waits"
    why = f" ({state.reason})" if state.reason else ""
    return f"{name} is {state.state}, and {waits}; `jetfleet flow resume {name}` ends that{why}"


def limits(found: Checkup) -> Iterator[Finding]:
    """Limits in use, and those at which more wait than a glance takes in."""
    waiting = sum(view.waiting for view in found.limits)
    for view in [view for view in found.limits if view.waiting >= WAITING_NOTE][:LIMITS_TOLD]:
        rule = "begin in a while" if view.is_rate else "are held"
        todo = "raise its max, or look what holds it: `jetfleet limits show`"
        yield Finding("limits", "note", f"{view.waiting:,} wait at {view.id}, where {view.held} of {view.most} {rule}; {todo}")
    if waiting < WAITING_NOTE:
        yield Finding("limits", "ok", f"{len(found.limits):,} in use, {waiting:,} wait" if found.limits else "none is in use")


def backlog(found: Checkup) -> Iterator[Finding]:
    events = {flow: wait for flow, wait in found.backlog.flows.items() if wait.count}
    count = sum(wait.count for wait in events.values()) + sum(held for held, _ in found.unstarted.values())
    old = [flow for flow, wait in events.items() if wait.oldest_s is not None and wait.oldest_s > OLD_S]
    if old:
        yield Finding("backlog", "note", f"{count:,} messages of events wait, some of {', '.join(sorted(old))} for more than a minute")
    else:
        yield Finding("backlog", "ok", f"{count:,} messages of events wait" if count else "no event waits")
    signals = found.backlog.streams.get(SIGNALS)
    if signals is not None and signals.messages >= WAITING_NOTE:
        yield Finding("backlog", "note", f"{signals.messages:,} messages of signals wait; look whether every partition has an owner")
    for subject, waiting in found.undeployed.items():
        flow = subject.split(".")[1]
        yield Finding("backlog", "note", f"{waiting:,} on {subject} wait for flow {flow}, which is not deployed")
    for subject, waiting in found.event_messages.items():
        _, flow, *trigger = subject.split(".", 2)
        plan = found.client.flows.current(flow)
        if trigger and plan is not None and plan.trigger(trigger[0]) is None:
            has = ", ".join(each.id for each in plan.triggers) or "none"
            says = f"{waiting:,} on {subject} are for a trigger that flow {flow} has not (it has: {has}); they become dead letters soon"
            yield Finding("backlog", "note", says)


def dead_letters(found: Checkup) -> Iterator[Finding]:
    if found.letters:
        yield Finding("letters", "bad", f"{found.letters:,} dead {'letter' if found.letters == 1 else 'letters'}; see `jetfleet dlq list`")
    else:
        yield Finding("letters", "ok", "no dead letters")


def reader(found: Checkup) -> Iterator[Finding]:
    if found.reader is None:
        yield Finding("reader", "bad", str(found.reader_error))
    elif found.reader.get("blocked"):
        yield Finding("reader", "bad", f"stands still: {found.reader['blocked']}")
    elif not found.reader.get("ready"):
        yield Finding("reader", "note", "is catching up: lists lack the latest runs")
    else:
        yield Finding("reader", "ok", f"up to date, {found.reader.get('backlog', 0):,} messages behind")


async def high_water(found: Checkup, accept_loss: bool) -> Finding:
    """The streams against the marks of this machine. `accept_loss`: forget what was lost."""
    url = found.client.connection.url
    if found.deployed is None or not (found.data / file_name(url)).exists():
        return Finding("marks", "note", f"no high-water mark of {url} in {found.data}; run this where a coordinator's --data is")
    marks = HighWater(found.data, url)
    try:
        if accept_loss:
            lost = await marks.accept(found.client.connection, found.deployed.partitions)
            return Finding("marks", "ok", f"taken as they are now: {', '.join(lost) or 'nothing was lost'}")
        await marks.check(found.client.connection, found.deployed.partitions)
    except JetfleetError as error:
        return Finding("marks", "bad", f"{error.code} {error}")
    return Finding("marks", "ok", "every stream reaches at least as far as it was seen")


_DECIDED = (Kind.SWITCH, Kind.MERGE)


def _queues_of_flows(found: Checkup) -> dict[str, list[str]]:
    needed: dict[str, list[str]] = {}
    for flow in found.client.flows.names():
        every = (node for plan in found.client.flows.begun_with(flow) for node in plan.nodes)
        # A switch or merge that a worker may have to decide has the queue of a task, or one that its author chose.
        nodes = (node for node in every if node.kind == Kind.TASK or (node.queue and node.kind in _DECIDED))
        for queue in sorted({node.queue or QUEUE_DEFAULT for node in nodes}):
            needed.setdefault(queue, []).append(flow)
    return needed


CHECKS: tuple[Callable[[Checkup], Iterator[Finding]], ...] = (
    server, sync, deployment, consumers, room, store, full_queues, disk, clocks, members, partitions, queues, arenas, node_types, flows,
    triggers, limits, backlog, dead_letters, reader,
)  # fmt: skip
