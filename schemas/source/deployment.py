"""The stricter report for a flow that is about to be deployed: it must start by itself, and all of it must be able to run.

While a flow is being written, a node without edges is a warning, and a flow without triggers is nothing worth mentioning: it may be
run by hand, or be part of another flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from ..flow.problems import Problem
from ..flow.trigger_types import parse_params, trigger_type
from ..flow.triggers.webhook import EVERY_ADDRESS, WebhookParams
from .loader import Loaded

_ERRORS = frozenset(("ORPHANED_NODE", "UNREACHABLE_NODE"))


def for_deployment(loaded: Loaded) -> tuple[Problem, ...]:
    """The problems of a definition, with those as errors that make it useless on a server, in the order of the file."""
    found = [replace(problem, severity="error") if problem.code in _ERRORS else problem for problem in loaded.problems]
    return (*_no_trigger(loaded), *_open_webhooks(loaded), *found)


def _no_trigger(loaded: Loaded) -> tuple[Problem, ...]:
    document = loaded.document
    if document is None or document.value.get("triggers"):
        return ()
    problem = Problem("NO_TRIGGER", "the flow has no trigger: nothing but a call by hand starts it", (), "add a trigger under `triggers`")
    return (problem.at(document.file, *document.place(())),)


def _open_webhooks(loaded: Loaded) -> Iterator[Problem]:
    """As warnings: behind a proxy, or in a network of its own, that may be meant."""
    document = loaded.document
    triggers = loaded.flow.triggers if loaded.flow is not None else []
    for number, trigger in enumerate(triggers):
        entry = trigger_type(trigger.type)
        if document is None or entry is None or entry.params is not WebhookParams or not trigger.enabled:
            continue
        try:
            params = parse_params(entry, trigger.params)
        except ValidationError:
            continue
        if isinstance(params, WebhookParams) and params.open_to_all and params.host in EVERY_ADDRESS:
            message = f"the webhook `{trigger.id}` listens on every address of the machine, and takes requests of everybody"
            hint = "add `auth` or `allow_ips`; or write `host: 127.0.0.1` where a proxy in front of it decides who may call"
            path = ("triggers", number, "params")
            yield Problem("OPEN_WEBHOOK", message, path, hint, "warning").at(document.file, *document.place(path))
