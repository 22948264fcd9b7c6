"""Params of `cron`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .. import cron
from ..block import Refused, Spelled, synonyms
from ..definition import Text
from .values import Texts

CATCH_UP_MAX = 10_000
JITTER_MAX_MS = 24 * 60 * 60 * 1000


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refused("INVALID_VALUE", f"`{name}` is not a time zone", "write an IANA name, such as `Europe/Berlin` or `UTC`") from None
    return name


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Refused("INVALID_VALUE", f"`{text}` is not a time", "write it as `2026-03-29T02:30:00`, in the trigger's time zone") from None
    return text


def _catch_up(value: Any) -> Any:
    return {False: "skip", True: "all"}[value] if isinstance(value, bool) else value


CatchUp = Annotated[Literal["skip", "one", "all"], BeforeValidator(_catch_up, json_schema_input_type=Literal["skip", "one", "all"] | bool)]
_OVERLAPS = {
    "forbid": "skip", "Forbid": "skip", "Allow": "allow", "replace": "cancel_running", "Replace": "cancel_running",
}  # fmt: skip
Overlap = Annotated[Literal["skip", "allow", "queue", "cancel_running"], BeforeValidator(synonyms(_OVERLAPS), json_schema_input_type=str)]
Moment = Annotated[Text, AfterValidator(_moment)]


class CronParams(Spelled):
    """Fires on a schedule, or several, in its time zone."""

    spellings: ClassVar[Mapping[str, str]] = {
        "catchUp": "catch_up", "concurrencyPolicy": "overlap", "concurrency_policy": "overlap", "schedules": "schedule",
        "catchUpMax": "catch_up_max", "jitterMs": "jitter_ms",
    }  # fmt: skip

    schedule: Texts
    timezone: Annotated[Text, AfterValidator(_timezone)] = "UTC"
    seconds: cron.Seconds = "first"
    start: Moment | None = None
    end: Moment | None = None
    jitter_ms: Annotated[int, Field(ge=0, le=JITTER_MAX_MS)] = 0
    catch_up: CatchUp = "skip"
    catch_up_max: Annotated[int, Field(ge=1, le=CATCH_UP_MAX)] = 100
    overlap: Overlap = "skip"

    @model_validator(mode="after")
    def _schedules_fire(self) -> Self:
        for text in self.schedule:
            try:
                cron.check(text, self.seconds)
            except ValueError as error:
                hint = f"five fields, minute first (`*/5 * * * *`), or six, second {self.seconds}"
                raise Refused("INVALID_CRON", str(error), hint, ("schedule",)) from None
        return self

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        start, end = self.moment(self.start), self.moment(self.end)
        if start is not None and end is not None and end <= start:
            raise Refused("INVALID_VALUE", f"it ends at {self.end}, which is not after {self.start}", "write a later `end`", ("end",))
        return self

    def moment(self, text: str | None) -> datetime | None:
        """`start` or `end` as an aware time: without an offset it is one of the trigger's time zone."""
        if text is None:
            return None
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(self.timezone))
