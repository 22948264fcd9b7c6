"""Concurrency keys: which attempts of a node count as its likes, and how many of these execute at once in this process."""

from __future__ import annotations

from ..schemas.effects import Dispatch
from ..schemas.errors import Permanent
from ..schemas.messages import Task
from ..schemas.plan.binding import lookup
from ..schemas.plan.plan import Plan, PlanNode
from ..schemas.ref import ValueElsewhere
from ..schemas.values import to_text
from .slots import Job


def bound(job: Job, plan: Plan, node: PlanNode, task: Dispatch | Task) -> None:
    """Bound the job as its node's `concurrency` says. Raises JetfleetError if the key's selectors lead to what cannot be read."""
    if node.concurrency is None:
        return
    key = ""
    if node.concurrency_key is not None:
        find = lookup(plan, node.roots, task.needs, task.run, task.activation)
        try:
            key = to_text(node.concurrency_key.render(find)) or ""
        except ValueElsewhere as error:
            what = f"the concurrency key of node {node.id!r} is inside of a large value ({error.ref})"
            remedy = "return the field beside the large one, or raise payloads.inline_max"
            raise Permanent(f"{what}; {remedy}", type="value_elsewhere") from None
    job.key = (plan.name, node.id, key)
    job.limit, job.on_limit = node.concurrency.max, node.concurrency.on_limit
