"""Nodes that make large values of several types, and one that takes some in."""

from __future__ import annotations

from typing import Any

import numpy
import pyarrow as pa
from PIL import Image

from jetfleet.workers import node


@node("v.array")
def array(value: Any) -> numpy.ndarray:
    return numpy.arange(30_000.0).reshape(10_000, 3)


@node("v.arrays")
def arrays(value: Any) -> list[numpy.ndarray]:
    """Larger as a list of refs than what stays in a payload of 1 KiB."""
    return [numpy.arange(1_000.0) + n for n in range(20)]


@node("v.table")
def table(value: Any) -> dict[str, Any]:
    return {"count": 20_000, "rows": pa.table({"id": range(20_000), "name": [f"n{n}" for n in range(20_000)]})}


@node("v.blob")
def blob(value: Any) -> bytes:
    return bytes(range(256)) * 1_000


@node("v.text")
def text(value: Any) -> str:
    return "héllo\n" * 20_000


@node("v.list")
def numbers(value: Any) -> list[dict[str, int]]:
    return [{"n": n} for n in range(30_000)]


@node("v.image")
def image(value: Any) -> Image.Image:
    return Image.new("RGB", (300, 200), (255, 0, 0))


@node("v.small")
def small(value: Any) -> numpy.ndarray:
    return numpy.arange(3)


@node("v.take")
def take(value: Any) -> dict[str, Any]:
    """What it was given, in figures."""
    rows = value["rows"]
    return {"type": type(rows).__name__, "sum": float(numpy.asarray(rows).sum()), "note": value["note"]}
