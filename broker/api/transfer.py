"""Carrying runs: into a file, and out of it into another fleet.

    fleet A ──export_run──▶ order.jetrun ──import_run──▶ fleet B

Guarantees: an export changes nothing. An import checks the whole file before anybody can see anything of it, never touches a run that is
there, and does not make the flow's version the current one. A run is there when its journal is: the parts are published before it can be
seen to have ended, or to be open.
Does not: bring back values that are lost; the file lists them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ...schemas import messages, subjects
from ...schemas.chain import chain
from ...schemas.codec import encode_record
from ...schemas.errors import JetfleetError, UsageError
from ...schemas.messages import Definition, Part, Summary
from ...schemas.records import CancelRequested, ChildEnded, Record, RunStarted
from ..engine import fold
from ..flows import PlanUnknown
from ..read_model import questions
from ..read_model.journal import ask_owner
from ..transfer.manifest import LostPart, Manifest
from ..transfer.reading import CarriedRun, JetrunFile
from ..transfer.writing import JetrunWriter
from .adopting import adopt, parts_of
from .study import Studying
from .values import object_store

if TYPE_CHECKING:  # loaded when they are first needed: most commands never need them
    from ..transfer.collected import Collector

IMPORTED = "imported to be looked at"
"""Why a run that was open when it was exported has been killed, where it is not to go on."""


class RunExists(JetfleetError):
    """There is a run of that id in this fleet already, open or ended."""

    code = "RUN_EXISTS"

    def __init__(self, run: str) -> None:
        super().__init__(f"there is a run {run} in this fleet already; import it under another id (--id NEW, id=… in Python)")


@dataclass(frozen=True, slots=True)
class Imported:
    """`runs`: the ids that they have here, in the order of the file. `lost`: values that the file does not have either."""

    runs: tuple[str, ...]
    open: bool
    lost: tuple[LostPart, ...]


@dataclass(frozen=True, slots=True)
class _Moored:
    """A run of a file as it will be here. `summary` None: it was open."""

    run: str
    carried: CarriedRun
    records: list[Record]
    summary: Summary | None

    def encoded(self) -> list[bytes]:
        """Byte for byte as it was, where nothing had to be changed: then its hash chain is the same here."""
        before = zip(self.records, self.carried.records, self.carried.encoded, strict=True)
        return [raw if record is old else encode_record(record) for record, old, raw in before]


class Carrying(Studying):
    """What `Client` inherits."""

    async def export_run(self, run: str, file: Path, *, with_children: bool = False, decrypt: bool = False) -> Manifest:
        """Write a run, as far as it has come, to a file; `with_children` also those of its sub-flows. What is in it, and what is lost.

        Values that are encrypted are left out unless they are to be decrypted: the file is not encrypted. Raises UnknownRun, ReaderAbsent,
        JournalGap, PlanUnknown, BrokerError, OSError.
        """
        runs = [member.run for member in (await self.tree(run)).everybody()] if with_children else [run]
        from ..transfer.collected import Collector

        writer = JetrunWriter(file)
        try:
            collector = Collector(writer, self.connection, object_store(self.connection), decrypt)
            for each in runs:
                await self._export(each, writer, collector)
            return writer.finish(_now_ms())
        except BaseException:
            writer.drop()
            raise

    async def import_run(self, file: Path | bytes, *, id: str = "", go_on: bool = False) -> Imported:
        """Bring the runs of a file here. They are there to be looked at; one that was open is killed at the end of its journal or, if it is
        to `go_on`, is open and does so. `id`: what the first run is called here; its sub-flows' runs follow it.

        Raises DamagedFile, BrokenDefinition, RunExists, UsageError, ObjectsFull, BrokerError, OSError.
        """
        opened = JetrunFile(file)
        try:
            ids = _ids(opened.runs, id)
            if go_on and opened.runs[0].summary is not None:
                what = f"run {opened.runs[0].part.run} had ended ({opened.runs[0].part.status})"
                raise UsageError(f"{what}: import it without going on, then `jetfleet runs retry` or `jetfleet runs fork` it")
            for run in ids.values():
                if (
                    await ask_owner(self.connection, run, self.partitions) is not None
                    or await questions.run(self.connection, run) is not None
                ):
                    raise RunExists(run)
            moored = [await self._moored(opened, carried, ids) for carried in opened.runs]
            for each in reversed(moored):  # a parent that goes on asks for its children at once: they have to be there
                await self._bring(each, go_on)
            return Imported(tuple(ids.values()), go_on, tuple(opened.manifest.lost))
        finally:
            opened.close()

    async def _export(self, run: str, writer: JetrunWriter, collector: Collector) -> None:
        found = await self._journal(run)
        digest = found.view.digest if found.view is not None else found.found.row.digest if found.found is not None else ""
        plan = await self.flows.fetch(digest)
        definition = await self._definition(digest)
        state = fold(plan, found.decoded())
        summary = await self.summary(run, len(found.records)) if state.ended else None
        for record in found.decoded():
            await collector.take(run, record)
        writer.add_run(definition, found.records, "paused" if state.paused and not state.ended else state.status, summary)

    async def _definition(self, digest: str) -> Definition:
        found = self.flows.definition(digest)
        if found is None:
            raise PlanUnknown(f"no version of a flow is deployed under {digest[:12]}; deploy the flow again (`jetfleet deploy`)")
        return found

    async def _moored(self, file: JetrunFile, carried: CarriedRun, ids: dict[str, str]) -> _Moored:
        """The run as it will be here, with its values in the object store. Nobody can see it yet."""
        from ..objects.pins import pin_until
        from ..transfer.moored import Mooring

        run = ids[carried.part.run]
        mooring = Mooring(file, object_store(self.connection), run)
        records = [await mooring.record(_renamed(record, ids)) for record in carried.records]
        summary = carried.summary
        if summary is not None:
            summary = msgspec.structs.replace(summary, output=await mooring.payload(summary.output), parent=_parent(records))
            summary = msgspec.structs.replace(summary, source=_source(carried, run) or summary.source)
        until_ms = _now_ms() + carried.plan.history.keep_ms
        for digest, nested in mooring.digests.items():
            await self.connection.publisher.publish(*pin_until(run, digest, until_ms, nested))
        return _Moored(run, carried, records, summary)

    async def _bring(self, moored: _Moored, go_on: bool) -> None:
        carried, run, summary = moored.carried, moored.run, moored.summary
        if self.flows.definition(carried.definition.digest) is None:
            await self.connection.publisher.publish(subjects.plan(carried.definition.digest), messages.encode(carried.definition))
        if summary is None and go_on:
            flow, source = carried.plan.name, carried.part.run
            await adopt(self.connection, self.partitions, flow, run, moored.records, source=source, reason="imported")
            return
        encoded = moored.encoded()
        if summary is None:
            ended = CancelRequested(run, _now_ms(), IMPORTED, kill=True)
            encoded.append(encode_record(ended))
            summary = _ended(carried, [*moored.records, ended], run)
        await self._archive(carried.plan.name, run, encoded, summary)

    async def _archive(self, flow: str, run: str, encoded: Sequence[bytes], summary: Summary) -> None:
        for _, part in parts_of(run, encoded):
            await self.connection.publisher.publish(subjects.history(flow), messages.join([part]))
        last = messages.encode(Part(run, len(encoded), [], summary, chain(run, encoded)))
        await self.connection.publisher.publish(subjects.history(flow), messages.join([last]))


def _ids(runs: Sequence[CarriedRun], id: str) -> dict[str, str]:
    """What each run is called here, by what it was called. Raises UsageError."""
    first = runs[0].part.run
    name = id or first
    if not name.isprintable() or any(char in name for char in " *>") or name.startswith(".") or len(name) > 200:
        raise UsageError(f"{name[:80]!r} is no id for a run: write letters, digits, `-` and `_`")
    ids = {}
    for carried in runs:
        run = carried.part.run
        if run != first and not run.startswith(f"{first}."):
            raise UsageError(f"run {run} in the file is not one of {first}'s sub-flows")
        ids[run] = name + run.removeprefix(first)
    return ids


def _renamed(record: Record, ids: dict[str, str]) -> Record:
    """The record as one of the run's new id, with the ids of its family."""
    changes: dict[str, object] = {"run": ids[record.run]}
    if isinstance(record, ChildEnded):
        changes["child"] = _new(record.child, record.run, ids)
    if isinstance(record, RunStarted) and record.parent is not None:
        changes["parent"] = (ids.get(record.parent[0], record.parent[0]), record.parent[1])
    return record if ids[record.run] == record.run else msgspec.structs.replace(record, **changes)


def _new(child: str, parent: str, ids: dict[str, str]) -> str:
    return ids[parent] + child.removeprefix(parent) if child.startswith(f"{parent}.") else child


def _ended(carried: CarriedRun, records: Sequence[Record], run: str) -> Summary:
    """How a run ends that was open and is not to go on."""
    state, plan = fold(carried.plan, records), carried.plan
    return Summary(
        plan.name, plan.version, plan.digest, state.status, state.trigger, state.started_at, state.updated_at, state.output, state.error,
        len(records), _parent(records), source=_source(carried, run),
    )  # fmt: skip


def _parent(records: Sequence[Record]) -> str | None:
    started = records[0]
    return started.parent[0] if isinstance(started, RunStarted) and started.parent is not None else None


def _source(carried: CarriedRun, run: str) -> str:
    """The run that it is a copy of under another id; "" if it has kept its id."""
    return carried.part.run if carried.part.run != run else ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
