"""I9: one owner at a time. A lease's generation grows with every owner; who has lost a partition stops acting for it; its snapshots do not go back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from jetfleet.schemas.messages import Lease

from ..evidence import Evidence, LeaseSeen
from .finding import Finding, NotKnown

LETTING_GO_S = 2.0
"""So long may a coordinator still say that it acts for a partition that somebody else has: from one heartbeat to the next, and the work between."""


def one_owner_acts(evidence: Evidence) -> Finding:
    if evidence.leases is None and evidence.manifests is None:
        return NotKnown("leases and manifests")
    return [*_generations(evidence), *_overstayed(evidence), *_snapshots_back(evidence)]


def _generations(evidence: Evidence) -> Iterator[str]:
    for partition, leases in _by_partition(evidence).items():
        last = leases[0].lease
        for seen in leases[1:]:
            lease = seen.lease
            changed = lease.owner not in ("", last.owner)
            if lease.generation < last.generation:
                yield f"partition {partition}: the lease went from generation {last.generation} back to {lease.generation} (seq {seen.seq})"
            elif changed and lease.generation == last.generation:
                yield f"partition {partition}: {lease.owner} owns it under generation {lease.generation}, which {last.owner or 'another'} had (seq {seen.seq})"
            last = lease


def _overstayed(evidence: Evidence) -> Iterator[str]:
    """Heartbeats of who is not the owner any more, and goes on as if it were."""
    if evidence.beats is None:
        return
    for partition, leases in _by_partition(evidence).items():
        stale: dict[tuple[str, int], int] = {}
        for beat in evidence.beats:
            lease = _lease_at(leases, beat.at_ns)
            if partition not in beat.partitions or lease is None or lease.owner in ("", beat.member):
                continue
            since_ns = stale.setdefault((beat.member, lease.generation), beat.at_ns)
            if beat.at_ns - since_ns > LETTING_GO_S * 1e9:
                yield f"partition {partition}: {beat.member} still acts for it {LETTING_GO_S:.0f} s after {lease.owner} took it over"
                break


def _snapshots_back(evidence: Evidence) -> Iterator[str]:
    position: dict[int, int] = {}
    for manifest in evidence.manifests or ():
        if manifest.position < position.get(manifest.partition, 0):
            yield (
                f"partition {manifest.partition}: a snapshot up to seq {manifest.position} replaced one up to seq {position[manifest.partition]}"
            )
        position[manifest.partition] = manifest.position
    for partition, entries in evidence.of_partition.items():
        if position.get(partition, 0) > entries[-1].seq and not evidence.partial:
            yield f"partition {partition}: a snapshot goes up to seq {position[partition]}, and the WAL only to {entries[-1].seq}"


def _by_partition(evidence: Evidence) -> dict[int, list[LeaseSeen]]:
    found: dict[int, list[LeaseSeen]] = defaultdict(list)
    for seen in sorted(evidence.leases or (), key=lambda seen: seen.seq):
        found[seen.partition].append(seen)
    return found


def _lease_at(leases: list[LeaseSeen], at_ns: int) -> Lease | None:
    found = None
    for seen in leases:
        if seen.at_ns > at_ns:
            break
        found = seen.lease
    return found
