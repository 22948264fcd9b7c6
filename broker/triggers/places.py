"""Places: where a trigger listens, in a few words, as its params say it; and when it fires next, if that is known.

What a source really listens to may differ (a port that was free, a folder that a link leads to): that is in the `detail` of Serving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ...schemas.errors import UsageError
from ...schemas.flow.trigger_types import TRIGGER_TYPES, parse_params
from ...schemas.flow.triggers.cron import CronParams


def place(type: str, params: Any) -> str:
    """Where a trigger of a deployed flow listens; "" for one that is only called."""
    words = _WORDS.get(type)
    try:
        return "" if words is None else words(parse_params(TRIGGER_TYPES[type], params))
    except ValidationError:  # deployed by another version, which took them
        return "(its params are not valid here)"


def next_times(type: str, params: Any, count: int, after: datetime | None = None) -> list[datetime]:
    """When a cron trigger fires next, in UTC. Raises UsageError for a trigger of another type."""
    if type != "cron":
        raise UsageError(f"a trigger of type {type} fires when something happens: only cron triggers have times")
    from .cron.schedule import upcoming  # here: the calendar takes longer to load than all the rest

    return upcoming(CronParams.model_validate(params or {}), after or datetime.now(UTC), count)


def _webhook(params: Any) -> str:
    host = params.host
    methods = "|".join(str(method) for method in params.methods)
    return f"{methods} http://{f'[{host}]' if ':' in host else host}:{params.port}{params.path}"


def _cron(params: Any) -> str:
    return f"{_listed(params.schedule)} {params.timezone}"


def _filesystem(params: Any) -> str:
    relative = [path for path in params.paths if not path.startswith(("/", "~"))]
    where = ", seen from the folder in which the serving process was started" if relative else ""
    return f"{_listed(params.paths)}{' and below' if params.recursive else ''}{where}"


def _kafka(params: Any) -> str:
    return f"{_listed(params.topics or [f'/{params.pattern}/'])} at {_listed(params.brokers)}"


def _queue(params: Any) -> str:
    if params.subjects:
        return f"subjects {_listed(params.subjects)}"
    return f"queue {params.name}" if params.name else ""


def _listed(texts: Any) -> str:
    return texts if isinstance(texts, str) else ", ".join(map(str, texts))


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "webhook": _webhook, "cron": _cron, "filesystem": _filesystem, "kafka": _kafka, "queue": _queue,
}  # fmt: skip
