"""I11: a cancellation that was acknowledged wins, once. The run ends as cancelled unless it had ended before, and nothing new begins in it."""

from __future__ import annotations

from collections.abc import Iterator

from jetfleet.schemas.plan.plan import NONE
from jetfleet.schemas.records import CancelRequested

from ..evidence import Evidence
from ..ledger import Cancelled
from ..replay import Story, replay
from .finding import Finding, NotKnown, unless_missing, untold

UNDER_WAY_S = 2.0
"""What had been given out before may still begin for so long: workers hear of a cancellation by a notice, which may be lost."""


def a_cancellation_wins(evidence: Evidence) -> Finding:
    if not evidence.account.cancelled:
        return NotKnown("cancellations that were acknowledged")
    told = replay(evidence)
    complaints = []
    for fact in evidence.account.cancelled:
        story = told.stories.get(fact.run)
        if story is not None:
            complaints += [*_did_not_win(story, evidence), *_began_later(fact, story, evidence)]
    return unless_missing(complaints, untold(told.untold))


def _did_not_win(story: Story, evidence: Evidence) -> Iterator[str]:
    asked = [entry for entry in evidence.of_run.get(story.run, ()) if isinstance(entry.record, CancelRequested)]
    if not asked:
        yield f"run {story.run}: its cancellation was acknowledged, and the log has none"
        return
    first, summary = asked[0], evidence.ends.get(story.run)
    end = next((end for end in story.ends if end.seq >= first.seq), None)
    if (end is None and not story.ends) or summary is None:
        yield f"run {story.run} was cancelled at seq {first.seq}, and has not ended"
    elif end is not None and len(story.ends) == 1 and summary.status != end.finish.status:
        yield f"run {story.run} was cancelled at seq {first.seq}, and ended as {summary.status}"


def _began_later(fact: Cancelled, story: Story, evidence: Evidence) -> Iterator[str]:
    if story.lives:
        return  # a retry took it back
    for effect in evidence.account.effects:
        node = story.plan.nodes[int(effect.activation.partition(".")[0])] if effect.run == fact.run else None
        if node is None or node.compensates != NONE:
            continue
        late_s = (effect.at_ns - fact.at_ns) / 1e9
        if late_s > UNDER_WAY_S:
            yield f"run {fact.run}: {node.id} began {late_s:.1f} s after its cancellation was acknowledged"
