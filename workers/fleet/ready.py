"""A task that can be executed here: with the plan that it belongs to and its node in it."""

from __future__ import annotations

from typing import TypeAlias

from ...schemas.messages import Task
from ...schemas.plan.plan import Plan, PlanNode

Ready: TypeAlias = tuple[Task, Plan, PlanNode]
