"""F2: a process dies before it says something to the server, when that was sent, and when it was answered: at every point that matters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ..judge import judge
from ..outcome import Outcome
from ..points import MOMENTS, POINT
from ..registry import Settings
from ..world import COORDINATOR, PUBLISHER, TRIGGER, WORKER, Shape, World, world

WRAPPER = "tests.faults.points"
QUICK = 8
NTH_MAX = 3
REACHED_S = 40


@dataclass(frozen=True, slots=True)
class Point:
    """`begins`: the subject of what is said. `once`: the process says it once, or seldom."""

    role: str
    what: str
    begins: str
    once: bool = False


POINTS = (
    Point(COORDINATOR, "claims a partition", "lease.", once=True),
    Point(COORDINATOR, "reads a snapshot", "$JS.API.STREAM.MSG.GET.SNAPSHOTS", once=True),
    Point(COORDINATOR, "appends a record", "wal."),
    Point(COORDINATOR, "acknowledges an event", "$JS.ACK.EVENTS"),
    Point(COORDINATOR, "gives out tasks", "tasks."),
    Point(COORDINATOR, "says how far its effects are", "progress."),
    Point(COORDINATOR, "archives a journal", "history."),
    Point(COORDINATOR, "writes a snapshot", "snapshot."),
    Point(COORDINATOR, "purges a WAL", "$JS.API.STREAM.PURGE.WAL_", once=True),
    Point(WORKER, "records a completion", "wal."),
    Point(WORKER, "acknowledges tasks", "$JS.ACK.TASKS"),
    Point(WORKER, "asks for tasks", "$JS.API.CONSUMER.MSG.NEXT.TASKS"),
    Point(PUBLISHER, "publishes an event", "events."),
    Point(TRIGGER, "publishes an event", "events."),
)


async def play(settings: Settings) -> Outcome:
    async with world(Shape(), settings.seed) as one:
        points = list(product(POINTS, MOMENTS))
        one.random.shuffle(points)
        points = points[: settings.count(len(points), QUICK)]
        one.publish()
        await one.ended(20)
        missed = [f"{point.role} {point.what}, {moment}" for point, moment in points if not await _die_at(one, point, moment)]
        outcome = await judge("points", len(points), one)
    outcome.complaints += [f"nobody died: {each}" for each in missed]
    return outcome


async def _die_at(one: World, point: Point, moment: str) -> bool:
    """Start a process anew that will die at the point, and another one when it has; False: it never got there."""
    name = one.random.choice(one.names(point.role))
    await one.stop(name)
    nth = 1 if point.once else one.random.randint(1, NTH_MAX)
    child = one.start(name, environment={POINT: f"{moment} {point.begins} {nth}"}, wrappers=(WRAPPER,), supervised=False)
    died = await child.gone(REACHED_S)
    if died:
        one.struck(moment, name, point.what)
    else:
        child.kill()
    one.start(name)
    return died
