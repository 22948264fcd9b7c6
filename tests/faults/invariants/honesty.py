"""I14: a refusal is one, and no answer stays without a resolution. What was refused, and never accepted later, became no run."""

from __future__ import annotations

from jetfleet.schemas import subjects
from jetfleet.schemas.records import RunStarted

from ..evidence import Evidence
from .finding import Finding, NotKnown


def refusals_are_honest(evidence: Evidence) -> Finding:
    account = evidence.account
    if not account.refused and not account.unknown:
        return NotKnown("publishes that were refused or not answered")
    acked = {fact.key for fact in account.acked}
    settled = acked | {fact.key for fact in account.resolved} | {fact.key for fact in account.refused}
    open = {fact.key for fact in account.unknown} - settled
    complaints = [f"nobody answered the publisher of {key}, and it was never found out what became of it" for key in sorted(open)]
    begun = {entry.record.run for entry in evidence.entries if isinstance(entry.record, RunStarted)}
    flows = {plan.name for plan in evidence.plans.values()}
    for key in {fact.key for fact in account.refused} - acked - {fact.key for fact in account.unknown}:
        complaints += [
            f"the event with key {key} was refused, and became run {run}"
            for run in sorted(subjects.run_id(flow, key) for flow in flows)
            if run in begun
        ]
    return complaints
