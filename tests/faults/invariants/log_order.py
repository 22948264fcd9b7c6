"""I8: a WAL only grows. Its sequences never go back, nothing is done behind a hole, and what is no record is kept with the dead letters.

A hole itself is damage that somebody did to the server: that its partition stops there is right, and that its runs stand still is I2's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..evidence import Evidence
from ..replay import holes
from .finding import Finding, NotKnown


def the_log_only_grows(evidence: Evidence) -> Finding:
    if not evidence.entries and not evidence.sequences:
        return NotKnown("entries of a WAL")
    return [*_backwards(evidence), *_holes(evidence), *_went_back(evidence), *_dropped_silently(evidence)]


def _backwards(evidence: Evidence) -> Iterator[str]:
    for partition, entries in evidence.of_partition.items():
        for before, entry in pairwise(entries):
            if entry.seq < before.seq:
                yield f"partition {partition}: after seq {before.seq} came seq {entry.seq}"
                break


def _holes(evidence: Evidence) -> Iterator[str]:
    """A message that is missing between two others closes its partition: nothing may come of what stands behind it."""
    if evidence.partial:
        return
    for partition, hole in sorted(holes(evidence).items()):
        yield from _acted_behind(evidence, partition, hole)


def _acted_behind(evidence: Evidence, partition: int, hole: int) -> Iterator[str]:
    where = f"partition {partition}: seq {hole} is missing in its WAL"
    for manifest in evidence.manifests or ():
        if manifest.partition == partition and manifest.position > hole:
            yield f"{where}, and a snapshot goes up to seq {manifest.position}"
            return
    for run, entries in evidence.of_run.items():
        if run in evidence.ends and entries[0].partition == partition and entries[0].seq > hole:
            yield f"{where}, and run {run}, which began at seq {entries[0].seq}, has ended all the same"
            return


def _went_back(evidence: Evidence) -> Iterator[str]:
    """What was acknowledged or seen once is there for good."""
    highest: dict[str, int] = {}
    for seen in evidence.sequences or ():
        if seen.seq < highest.get(seen.stream, 0):
            yield f"{seen.stream} went back: it was seen at seq {highest[seen.stream]}, and later at seq {seen.seq}"
            return
        highest[seen.stream] = seen.seq


def _dropped_silently(evidence: Evidence) -> Iterator[str]:
    kept = {letter.data for letter in evidence.letters if letter.kind == "record"}
    for unreadable in evidence.unreadable:
        if unreadable.data not in kept:
            yield f"partition {unreadable.partition}, seq {unreadable.seq}: {len(unreadable.data)} bytes that are no record were dropped, not kept"
