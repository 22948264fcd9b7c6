"""Plain forms: what a value becomes that neither msgpack nor a codec knows, so that it can stand in a document.

    pydantic models                               maps
    whole numbers, floats of other classes        the number
    datetimes, dates, times and durations         the standard library's, of a subclass of them (pandas, pendulum); NaT and NA are null
    Arrow scalars                                 what they are in Python
    addresses and networks, urls of pydantic      texts

Nothing is imported for it: types are found by name along their bases. What a datetime has beyond microseconds is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from pydantic_core import PydanticSerializationError


def plain_form(value: Any) -> Any:
    """Raises NotImplementedError, as msgspec's encoders expect of their hook, for what has none."""
    plain = _without_model(value)
    if type(plain) is not type(value):
        return plain
    for base in type(value).__mro__:
        form = _FORMS.get(f"{base.__module__}.{base.__qualname__}")
        if form is not None:
            return form(value)
    raise NotImplementedError(
        f"a value of class {type(value).__qualname__} has no form as bytes; "
        "return a map, a dataclass, a pydantic model, bytes, an array or a table"
    )


def _without_model(value: Any) -> Any:
    """What pydantic makes of a model; anything else as it is."""
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    try:
        return value if serializer is None else serializer.to_python(value)
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise NotImplementedError(str(error)) from None


def _datetime(value: datetime) -> datetime | None:
    if value != value:  # NaT, which says that it is a datetime
        return None
    return datetime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold
    )


def _date(value: date) -> date:
    return date(value.year, value.month, value.day)


def _time(value: time) -> time:
    return time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)


def _duration(value: timedelta) -> timedelta:
    return timedelta(value.days, value.seconds, value.microseconds)


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "builtins.int": int.__int__,
    "builtins.float": float.__float__,
    "datetime.datetime": _datetime,
    "datetime.date": _date,
    "datetime.time": _time,
    "datetime.timedelta": _duration,
    "pandas.api.typing.NAType": lambda value: None,
    "pandas._libs.missing.NAType": lambda value: None,
    "pyarrow.lib.Scalar": lambda value: value.as_py(),
    "ipaddress._IPAddressBase": str,
    "pydantic.networks._BaseUrl": str,
    "pydantic.networks._BaseMultiHostUrl": str,
    "pydantic_core._pydantic_core.Url": str,
    "pydantic_core._pydantic_core.MultiHostUrl": str,
}
