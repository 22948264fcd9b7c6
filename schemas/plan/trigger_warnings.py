"""Warnings about the params of triggers: what is well-formed, and will hardly do what was meant.

Does not: say what is malformed; the loader does.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from ..flow.cron import steps_beyond
from ..flow.definition import Block
from ..flow.trigger_types import parse_params, trigger_type
from ..flow.triggers.cron import CronParams
from ..flow.triggers.filesystem import FilesystemParams, is_refused_anywhere
from .draft import Draft


def warn_of_triggers(draft: Draft) -> None:
    for number, trigger in enumerate(draft.flow.triggers):
        entry = trigger_type(trigger.type)
        if entry is None or not trigger.enabled or entry.params not in (CronParams, FilesystemParams):
            continue
        try:
            params = parse_params(entry, trigger.params)
        except ValidationError:  # the loader says so
            continue
        for code, what, hint in _found(params):
            draft.report(code, f"trigger {trigger.id!r} {what}", ("triggers", number, "params"), hint, warning=True)


def _found(params: Block) -> Iterator[tuple[str, str, str]]:
    if isinstance(params, FilesystemParams):
        yield from _refused_paths(params)
    if isinstance(params, CronParams):
        yield from _steps(params)


def _refused_paths(params: FilesystemParams) -> Iterator[tuple[str, str, str]]:
    """Only of what is refused wherever it is served: which other paths are allowed, each process says."""
    for path in filter(is_refused_anywhere, (*params.paths, *filter(None, (params.processed, params.failed)))):
        yield "REFUSED_PATH", f"cannot use the path {path!r}: it has `..` or a NUL in it", "write the path of the folder itself"


def _steps(params: CronParams) -> Iterator[tuple[str, str, str]]:
    for schedule in params.schedule:
        for field, name, size in steps_beyond(schedule, params.seconds):
            what = f"has the step `{field}` in `{schedule}`: there are {size} {name}s, so that only the first of them is meant"
            yield "STEP_TOO_LARGE", what, "steps begin anew in each round of the field; write the times themselves, as several schedules"
