"""Runs for these tests, played by hand on the engine: their journals, and the parts and summaries that an owner would archive."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from jetfleet.broker.study.studied import Studied
from jetfleet.broker.study.verification import StoredPart
from jetfleet.schemas import chain
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.records import Record

from ..engine.driving import Driver

ORDER = """
triggers: [{id: api, type: manual}, {id: nightly, type: manual}]
nodes:
  big: {type: std::switch, config: {expression: "n > 9"}}
  check: {type: f.echo, retry: {max_attempts: 3}}
  refuse: {type: std::raise, config: {type: too_big, message: "no more"}}
  report: {type: f.echo}
edges: [{from: api, to: big}, {from: nightly, to: report}, {from: big.false, to: check}, {from: big.true, to: refuse}]
"""
SPLIT = """
triggers: [{id: api, type: manual}]
nodes:
  each: {type: std::split, config: {field: rows, mode: parallel, max_parallel: 2}}
  work: {type: f.echo}
  end: {type: f.echo}
edges: [{from: api, to: each}, {from: each.item, to: work}, {from: each.done, to: end}]
"""


def order(n: int, fails: int = 0) -> Driver:
    """An order of the flow above that has ended; `fails`: so many attempts of `check` before the one that goes well."""
    driver = Driver(ORDER, {"n": n}, trigger="api")
    for _ in range(fails):
        driver.fail("check")
        driver.fire("check", "retry")
    return driver.work()


def studied(driver: Driver) -> Studied:
    return Studied(driver.plan, driver.journal)


def encoded(journal: Sequence[Record]) -> list[bytes]:
    return [encode_record(record) for record in journal]


def summary(driver: Driver) -> Summary | None:
    """What its owner would say of its end; None while it is open."""
    end, run = driver.result, driver.run
    if end is None:
        return None
    return Summary(
        run.plan.name, run.plan.version, run.plan.digest, end.status, run.trigger, run.started_at, run.updated_at, end.output, end.error,
        len(driver.journal),
    )  # fmt: skip


def parts(driver: Driver, *cuts: int) -> list[StoredPart]:
    """Its journal in parts, cut before these records, as its owner would archive it."""
    records = encoded(driver.journal)
    ends = [*cuts, len(records)]
    return [part(records, first, end, summary(driver) if end == ends[-1] else None) for first, end in zip((0, *cuts), ends, strict=True)]


def part(records: Sequence[bytes], first: int, end: int, ended: Summary | None = None) -> StoredPart:
    raw = [msgspec.Raw(record) for record in records[first:end]]
    return StoredPart(f"HISTORY {first + 1}, entry 0", Part("r1", first, raw, ended, chain.chain("r1", records[:end])))
