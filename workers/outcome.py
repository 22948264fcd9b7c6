"""Outcome: how the execution of a node ended, as bytes and plain words, ready to be reported from any thread or process.

Node code returns a value, or `Out(port, value)` to leave by a port of its choice. `succeed` turns that into an
outcome; failures are described in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec
from pydantic_core import PydanticSerializationError, SchemaSerializer, core_schema

from ..schemas.errors import Permanent, UnencodableValue
from ..schemas.payload import NULL, Payload, encode
from ..schemas.records import Error

PORT_DEFAULT = "out"


@dataclass(frozen=True, slots=True)
class Out:
    """Returned by a node that chooses its port: `return Out("rejected", order)`."""

    port: str
    value: Any = None


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED: Final = _Unchanged.UNCHANGED
"""Returned by a node whose output is its input: the same bytes go on, nothing is encoded."""


class Outcome(msgspec.Struct):
    """`error` set: the attempt failed, and `port` and `output` mean nothing. `retry_after_ms` is the node's own wish."""

    port: str = PORT_DEFAULT
    output: Payload = NULL
    error: Error | None = None
    retry_after_ms: int | None = None


def succeed(result: Any, ports: tuple[str, ...], given: Payload) -> Outcome:
    """The outcome of a node with these ports that got `given` and returned `result`.

    Raises UnencodableValue, and Permanent (`unknown_port`) if it chose a port that it did not declare.
    """
    port = ports[0]
    if type(result) is Out:
        port, result = result.port, result.value
        if port not in ports:
            raise Permanent(f"the node left by port `{port}`, but declares only: {', '.join(ports)}", type="unknown_port")
    return Outcome(port, given if result is UNCHANGED else encode_result(result))


def encode_result(value: Any) -> Payload:
    """Encode what node code returned; pydantic models, also deep inside, become maps. Raises UnencodableValue."""
    try:
        return encode(value)
    except UnencodableValue:
        return encode(_without_models(value))


# Walks any value and replaces models by maps. Only needed where the fast encoder has met something it does not know.
_serializer = SchemaSerializer(core_schema.any_schema())


def _without_models(value: Any) -> Any:
    try:
        return _serializer.to_python(value)
    except RecursionError:
        raise UnencodableValue("the value is nested without end (does it contain itself?)") from None
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise UnencodableValue(f"the value cannot be encoded: {error}") from None
