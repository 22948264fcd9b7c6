"""The stricter report for a flow that is about to be deployed: it must start by itself, and all of it must be able to run.

While a flow is being written, a node without edges is a warning, and a flow without triggers is nothing worth mentioning: it may be
run by hand, or be part of another flow.
"""

from __future__ import annotations

from dataclasses import replace

from ..flow.problems import Problem
from .loader import Loaded

_ERRORS = frozenset(("ORPHANED_NODE", "UNREACHABLE_NODE"))


def for_deployment(loaded: Loaded) -> tuple[Problem, ...]:
    """The problems of a definition, with those as errors that make it useless on a server, in the order of the file."""
    found = [replace(problem, severity="error") if problem.code in _ERRORS else problem for problem in loaded.problems]
    return (*_no_trigger(loaded), *found)


def _no_trigger(loaded: Loaded) -> tuple[Problem, ...]:
    document = loaded.document
    if document is None or document.value.get("triggers"):
        return ()
    problem = Problem("NO_TRIGGER", "the flow has no trigger: nothing but a call by hand starts it", (), "add a trigger under `triggers`")
    return (problem.at(document.file, *document.place(())),)
