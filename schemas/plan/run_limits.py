"""Run limits: what of a flow's settings decides when a run of it may begin, compiled.

Keys, priority and fairness are rendered from what is known before any node has run: the trigger, the config, the run's own ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..flow.definition import Flow, RunConcurrency, duration_ms
from ..flow.problems import Path
from .plan import ROOT, Binding, Source

if TYPE_CHECKING:
    from .needs import Needs


@dataclass(frozen=True, slots=True)
class RunLimit:
    """`prefix` is the limit's id but for the key. `per_ms` 0: `most` slots at a time; else `most` runs per that time."""

    prefix: str
    most: int
    on_limit: str
    per_ms: int = 0
    burst: int = 0
    key: Binding | None = None


@dataclass(frozen=True, slots=True)
class RunLimits:
    """`limits`: those of concurrency, then that of the rate."""

    limits: tuple[RunLimit, ...] = ()
    priority: Binding | int = 0
    fairness: Binding | None = None
    ttl_ms: int | None = None


def run_limits(flow: Flow, needs: Needs) -> RunLimits | None:
    """None for a flow that has none of it. Reports selectors that are wrong, or that read a node."""
    settings = flow.settings
    limits = [*_concurrency(flow, needs), *_rate(flow, needs)]
    fairness = None if settings.fairness is None else _bind(needs, settings.fairness, "fairness")
    ttl_ms = None if settings.ttl is None else duration_ms(settings.ttl)
    own = settings.priority
    priority = own if isinstance(own, int) else _bind(needs, own, "priority") or 0
    found = RunLimits(tuple(limits), priority, fairness, ttl_ms)
    return None if found == RunLimits() else found


def _concurrency(flow: Flow, needs: Needs) -> list[RunLimit]:
    declared = flow.settings.concurrency
    several = declared if isinstance(declared, list) else [] if declared is None else [declared]
    found = []
    for number, limit in enumerate(several):
        own = flow.name if number == 0 else f"{flow.name}.{number + 1}"
        prefix = f"=flow:{own}:" if limit.limit is None else f"=shared:{limit.limit}:"
        at = ("concurrency", number, "key") if isinstance(declared, list) else ("concurrency", "key")
        found.append(RunLimit(prefix, limit.max, limit.on_limit, key=_key(needs, limit, at)))
    return found


def _rate(flow: Flow, needs: Needs) -> list[RunLimit]:
    rate = flow.settings.rate
    if rate is None:
        return []
    prefix = f"=rate:{flow.name}:" if rate.limit is None else f"=shared-rate:{rate.limit}:"
    key = None if rate.key is None else _bind(needs, rate.key, "rate", "key")
    return [RunLimit(prefix, rate.max, rate.on_limit, duration_ms(rate.per), rate.burst or 0, key)]


def _key(needs: Needs, limit: RunConcurrency, at: Path) -> Binding | None:
    return None if limit.key is None else _bind(needs, limit.key, *at)


def _bind(needs: Needs, text: str, *at: str | int) -> Binding | None:
    path: Path = ("settings", *at)
    bound = needs.bind(text, path, ROOT)
    if bound is not None and any(need.source in (Source.NODE, Source.SCOPE) for need in bound.needs):
        message = f"`{text}` reads what a node has put out, and this is decided before any node has run"
        hint = "read it from `${trigger.payload.…}`, `${trigger.meta.…}` or `${pipeline.config.…}`"
        needs.draft.report("INVALID_SELECTOR", message, path, hint)
    return bound
