"""A run as a tree, printed: its nodes in the order of the flow, with where their time went, what came out, and what is wrong.

    order-1f…  order 1.0  running for 3 min 2 s, 6 records
      NODE           STATUS     TOOK                            OUTPUT
      ├─ check       completed  4 ms                            true → {"amount": 25000}
      ├─ approval    waiting    3 min
      └─ each        open       2 s
         ├─ [3]      failed
         │  └─ charge failed    1 s 50 ms (backoff 1 s), 2 attempts   card_refused: no money
         └─ … 97 more: 97 completed
    waits: approval waits for the approval order-approval-1f…, for 57 min at most
           to move it: jetfleet runs approve …

On a terminal with colours, elsewhere plain. Of a loop or split only a few instances are shown, those first that failed or are open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload, decode
from ...schemas.sizes import size_text
from ..api.family import Member
from ..engine import Blocked, blocked_on
from ..run_result import RunResult
from ..study.anatomy import Instance, Part, anatomy
from ..study.moving import move
from ..study.phases import Phases
from ..study.words import in_words, span
from .outcome import end_lines
from .printing import STYLES, as_text, printable
from .shown import is_described

INSTANCES_SHOWN = 3
VALUE_MAX = 120
"""Characters of an output; `jetfleet payload cat RUN:NODE` prints all of it."""
SIZE_SHOWN_MIN_BYTES = 1024
NOTICED_SHARE = 0.1
"""A phase is named if it is that much of the whole."""
WAITS_SHOWN = 10
SHOWN_FIRST = ("failed", "running", "cancelled", "completed")
HEAD = ("NODE", "STATUS", "TOOK", "OUTPUT")
Cells = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of a run: its fold, where its time went, the runs of its sub-flows. `full`: no instance is left out. `outside`: what it
    waits for that is in no record, as its owner says.
    """

    result: RunResult
    phases: Mapping[str, Phases]
    family: Member | None
    now_ms: int
    full: bool = False
    outside: Sequence[Blocked] = ()
    children: dict[str, list[Member]] = field(default_factory=dict)  # by the key of the node that started them

    def __post_init__(self) -> None:
        for child in self.family.children if self.family is not None else ():
            self.children.setdefault(child.node, []).append(child)

    @property
    def waits(self) -> list[Blocked]:
        """Why it does not move."""
        return [] if self.result.state is None else [*self.outside, *blocked_on(self.result.state)]


def plain(shown: Shown) -> Iterator[str]:
    """The lines for a pipe or a file: never cut off."""
    cells = [HEAD, *rows(shown)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD) - 1)]
    for row in cells:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
    yield ""
    yield from below(shown)


def pretty(shown: Shown, console: Console) -> RenderableType:
    """The same for a terminal, each row on one line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in HEAD:
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == "OUTPUT" else None)
    for name, status, took, output in rows(shown):
        table.add_row(Text(name), Text(status, STYLES.get(status, "")), Text(took, "dim"), Text(output))
    return Group(table, Text(""), *(Text(line, overflow="fold") for line in below(shown)))


def rows(shown: Shown) -> list[Cells]:
    """A row of the table per node, instance and sub-flow run."""
    assert shown.result.state is not None
    return list(_parts(shown, anatomy(shown.result.state), ""))


def below(shown: Shown) -> Iterator[str]:
    """How it ended; or why it does not move, and what would move it."""
    result, run = shown.result, shown.result.state
    assert run is not None
    if run.ended:
        yield from end_lines(result)
        return
    records = "1 record" if result.records == 1 else f"{result.records:,} records"
    yield f"run {result.run_id} {result.status} for {span(max(0, shown.now_ms - result.started_at))}, {records}"
    waits = shown.waits
    for wait in waits[:WAITS_SHOWN]:
        yield f"waits: {printable(in_words(wait, shown.now_ms))}"
        way = move(run, wait)
        if way.command:
            yield f"       {printable(way.what)}: {printable(way.command)}"
    if len(waits) > WAITS_SHOWN:
        yield f"       … and {len(waits) - WAITS_SHOWN:,} more"


# --- the rows


def _parts(shown: Shown, parts: Sequence[Part], indent: str) -> Iterator[Cells]:
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        yield _row(shown, part, indent + ("└─ " if last else "├─ "))
        deeper = indent + ("   " if last else "│  ")
        yield from _children(shown.children.get(part.key, ()), shown.now_ms, deeper)
        yield from _instances(shown, part.instances, deeper)


def _row(shown: Shown, part: Part, branch: str) -> Cells:
    view, took = part.view, shown.phases.get(part.key)
    attempts = f", {view.attempts} attempts" if view.attempts > 1 else ""
    return branch + part.node, view.status, ("" if took is None else _took(took, shown.now_ms)) + attempts, _gave(part)


def _took(took: Phases, now_ms: int) -> str:
    """The whole, and the phases that are worth a word; of what is open up to now."""
    if took.status in ("pending", "ready", "skipped"):
        return ""
    if took.status not in ("completed", "failed", "cancelled"):
        return span(took.took_ms + max(0, now_ms - took.since)) + " so far"
    total = took.took_ms
    named = {"queue": took.queued_ms, "work": took.worked_ms, "backoff": took.backoff_ms}
    worth = [f"{name} {span(ms)}" for name, ms in named.items() if ms > 1 and ms >= total * NOTICED_SHARE]
    return span(total) + (f" ({', '.join(worth)})" if len(worth) > 1 or took.backoff_ms else "")


def _gave(part: Part) -> str:
    """Its error, or the port it left by and its output."""
    if part.error is not None and part.view.status in ("failed", "retrying", "cancelled"):
        return printable(f"{part.error.type}: {part.error.message}")
    if part.view.output is None:
        return ""
    if part.view.status == "failed":
        return _error(part.view.output)
    port = "" if part.view.port in (None, "out") else f"{part.view.port} → "
    return port + _value(part.view.output)


def _error(payload: Payload) -> str:
    """What went out of the error port, as far as it is an error as the engine writes them."""
    try:
        value = decode(payload)
        return printable(f"{value['type']}: {value['message']}")
    except (UnreadablePayload, TypeError, KeyError):
        return _value(payload)


def _value(payload: Payload) -> str:
    try:
        value = decode(payload)
    except UnreadablePayload as error:
        return f"<{printable(str(error))}>"
    size = "" if len(payload) < SIZE_SHOWN_MIN_BYTES or is_described(value) else f"{size_text(len(payload))}  "
    text = printable(as_text(value))
    return size + (text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…")


def _children(children: Sequence[Member], now_ms: int, indent: str) -> Iterator[Cells]:
    """The runs of a sub-flow node, and theirs."""
    for place, child in enumerate(children):
        last = place == len(children) - 1
        ended = child.row.ended_at
        took = span(max(0, (ended or now_ms) - child.row.started_at)) + ("" if ended else " so far")
        why = child.row.error_type and printable(f"{child.row.error_type}: {child.row.error_message}")
        yield f"{indent}{'└' if last else '├'}▷ {child.row.flow}", child.status, took, why or child.run
        yield from _children(child.children, now_ms, indent + ("   " if last else "│  "))


def _instances(shown: Shown, instances: Sequence[Instance], indent: str) -> Iterator[Cells]:
    chosen = instances if shown.full else _worth_showing(instances)
    left = Counter(each.status for each in instances)
    left.subtract(each.status for each in chosen)
    more = sum(left.values())
    for place, instance in enumerate(chosen):
        last = place == len(chosen) - 1 and not more
        yield f"{indent}{'└─ ' if last else '├─ '}[{instance.index}]", instance.status, "", ""
        yield from _parts(shown, instance.parts, indent + ("   " if last else "│  "))
    if more:
        said = ", ".join(f"{count:,} {status}" for status, count in sorted(left.items()) if count)
        yield f"{indent}└─ … {more:,} more", "", "", said


def _worth_showing(instances: Sequence[Instance]) -> list[Instance]:
    """Those that failed, then open ones, then the latest; in their order."""
    if len(instances) <= INSTANCES_SHOWN:
        return list(instances)
    chosen = sorted(instances, key=lambda each: (SHOWN_FIRST.index(each.status), -each.index))[:INSTANCES_SHOWN]
    return sorted(chosen, key=lambda each: each.index)
