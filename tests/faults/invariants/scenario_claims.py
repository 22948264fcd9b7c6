"""I12 and I13: what only the scenario knows. Its other runs end as they must; figures come back to what they were before the load."""

from __future__ import annotations

from ..evidence import Evidence, Usage
from .finding import Finding, NotKnown

MORE = 1.10
SLACK = {"bytes": 4 << 20, "files": 2, "tasks": 2}
"""What a figure may grow by besides a tenth, by the last word of its name: a few file descriptors more are no leak."""


def others_are_not_harmed(evidence: Evidence) -> Finding:
    if not evidence.account.expected:
        return NotKnown("runs that must end in a certain way")
    found = []
    for expected in evidence.account.expected:
        summary = evidence.ends.get(expected.run)
        is_as = "has not ended" if summary is None else f"ended as {summary.status}"
        if summary is None or summary.status != expected.status:
            found.append(f"run {expected.run} {is_as}, and must end as {expected.status}, whatever happens to others")
    return found


def figures_come_back(evidence: Evidence) -> Finding:
    if evidence.usage is None:
        return NotKnown("figures from before the load and after it")
    return [f"{usage.what}: {usage.before:,.0f} before the load, {usage.after:,.0f} after it" for usage in evidence.usage if _leaks(usage)]


def _leaks(usage: Usage) -> bool:
    return usage.after > usage.before * MORE + SLACK.get(usage.what.split()[-1], 0)
