"""The invariants I1 to I15 as functions of evidence: what is wrong, in words that name the run, the node and the sequence.

    check(evidence)      the complaints of all of them
    judge(evidence)      the same, and of which of them nothing can be said, because the evidence lacks what they look at

A check is total: it never raises for evidence that is odd, and it never passes what it could not look at. `CHECKS` is the list.
Each is proved by something broken that it catches, in `test_invariants.py` by hand-made evidence and in `test_broken.py` by broken code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..evidence import Evidence
from .cancelling import a_cancellation_wins
from .endings import a_run_ends_once
from .executions import duplicates, late_executions, recorded_is_not_executed, unrecorded_is_executed
from .finding import Check, Complaint, Finding, NotKnown
from .folding import the_fold_is_one
from .gathering import never_begun, wrongly_gathered
from .honesty import refusals_are_honest
from .log_order import the_log_only_grows
from .lost_events import lost, no_event_is_lost
from .open_runs import no_run_is_stuck, stuck
from .owners import one_owner_acts
from .scenario_claims import figures_come_back, others_are_not_harmed
from .secrets import secrets_are_nowhere
from .timers import timers_fire_once_and_on_time
from .values import values_are_right_or_lost


def _and(check: Check, more: Callable[[Evidence], Iterator[str]]) -> Check:
    """A check, and what else belongs to its invariant."""

    def both(evidence: Evidence) -> Finding:
        found, others = check(evidence), list(more(evidence))
        return others or found if isinstance(found, NotKnown) else found + others

    return both


CHECKS: dict[str, Check] = {
    "I1": _and(no_event_is_lost, wrongly_gathered),
    "I2": _and(no_run_is_stuck, never_begun),
    "I3": recorded_is_not_executed,
    "I4": unrecorded_is_executed,
    "I5": a_run_ends_once,
    "I6": the_fold_is_one,
    "I7": values_are_right_or_lost,
    "I8": the_log_only_grows,
    "I9": one_owner_acts,
    "I10": timers_fire_once_and_on_time,
    "I11": a_cancellation_wins,
    "I12": others_are_not_harmed,
    "I13": figures_come_back,
    "I14": refusals_are_honest,
    "I15": secrets_are_nowhere,
}


@dataclass
class Verdict:
    """`not_known`: by invariant, what is missing."""

    complaints: list[Complaint] = field(default_factory=list)
    not_known: dict[str, str] = field(default_factory=dict)


def judge(evidence: Evidence) -> Verdict:
    verdict = Verdict()
    for invariant, look in CHECKS.items():
        try:
            found = look(evidence)
        except Exception as error:  # evidence so odd that nobody thought of it is no pass
            found = [f"the check itself failed: {type(error).__name__}: {error}"]
        if isinstance(found, NotKnown):
            verdict.not_known[invariant] = found.missing
        else:
            verdict.complaints += [Complaint(invariant, words) for words in found]
    return verdict


def check(evidence: Evidence) -> list[Complaint]:
    return judge(evidence).complaints


__all__ = [
    "CHECKS", "Check", "Complaint", "Finding", "NotKnown", "Verdict", "check", "duplicates", "judge", "late_executions", "lost", "stuck",
]  # fmt: skip
