"""Params of `cron`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

from .. import cron
from ..block import Refused, Spelled, synonyms
from ..definition import Text


def _schedule(text: str) -> str:
    try:
        cron.check(text)
    except ValueError as error:
        raise Refused("INVALID_CRON", str(error), "five fields, minute first (`*/5 * * * *`), or six, second first") from None
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refused("INVALID_VALUE", f"`{name}` is not a time zone", "write an IANA name, such as `Europe/Berlin` or `UTC`") from None
    return name


Overlap = Literal["forbid", "allow", "replace"]


class CronParams(Spelled):
    """Fires on a schedule, in its time zone. `catch_up` makes up for times that were missed."""

    spellings: ClassVar[Mapping[str, str]] = {"catchUp": "catch_up", "concurrencyPolicy": "concurrency_policy"}

    schedule: Annotated[Text, AfterValidator(_schedule)]
    timezone: Annotated[Text, AfterValidator(_timezone)] = "UTC"
    catch_up: bool = False
    concurrency_policy: Annotated[
        Overlap,
        BeforeValidator(synonyms({word.title(): word for word in ("forbid", "allow", "replace")}), json_schema_input_type=str),
    ] = "forbid"
