"""I15: secrets stay secret. The canaries of a scenario are in no text, log, record, part, letter or snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from .finding import Finding, NotKnown

AROUND = 24


def secrets_are_nowhere(evidence: Evidence) -> Finding:
    if not evidence.canaries:
        return NotKnown("secrets of which it is known that nobody may see them")
    wanted = [canary.encode() for canary in evidence.canaries]
    complaints = []
    for place, data in _places(evidence):
        for number, canary in enumerate(wanted):
            at = data.find(canary)
            if at >= 0:
                before = data[max(0, at - AROUND) : at].decode(errors="replace")
                complaints.append(f"secret {number} stands in {place}, behind {before!r}")
    return complaints


def _places(evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    for name, text in evidence.texts.items():
        yield name, text.encode(errors="replace")
    for path in evidence.logs:
        if path.is_file():
            yield str(path.name), path.read_bytes()
    for entry in evidence.entries:
        yield f"the WAL of partition {entry.partition}, seq {entry.seq} (run {entry.record.run})", entry.raw
    for run, parts in evidence.parts.items():
        for part in parts:
            yield f"the history of run {run}", b"".join(map(bytes, part.records))
    for run, summary in evidence.ends.items():
        yield f"the end of run {run}", repr(summary).encode()
    for letter in evidence.letters:
        yield f"a dead letter of {letter.subject}", letter.data + letter.reason.encode() + repr(letter.headers).encode()
    for seen in evidence.snapshots or ():
        yield f"a snapshot of run {seen.run}", seen.state
