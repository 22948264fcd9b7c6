"""Binding: how a selector finds its value when a node is executed, in the engine and on a worker alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import payload as payloads
from ..payload import Payload
from ..records import Activation
from ..selectors import Selector
from ..values import MISSING, get
from .plan import Plan

_ERROR = "error"


def lookup(plan: Plan, roots: Mapping[str, int], needs: Sequence[Payload], run: str, activation: Activation) -> Callable[[Selector], Any]:
    """A function from selector to value, None where there is none. Each needed payload is decoded once, when first read."""
    decoded: dict[int, Any] = {}

    def value(index: int) -> Any:
        if index not in decoded:
            decoded[index] = payloads.decode(needs[index])
        return decoded[index]

    def find(selector: Selector) -> Any:
        root, path = selector.root, selector.path
        if root == "pipeline":
            found = get(plan.config, path[1:])
        elif root == "trace_id":
            return run
        elif root == "iteration":
            return activation[-1] if len(activation) > 1 else None
        elif path[:1] == (_ERROR,) and f"{root}.{_ERROR}" in roots:
            found = get(value(roots[f"{root}.{_ERROR}"]), path)
        elif root in roots:
            found = get(value(roots[root]), path)
        else:
            return None
        return None if found is MISSING else found

    return find
