"""The nodes of the benchmark `payload`, for `jetfleet worker --nodes benchmarks/payload_nodes.py`.

The values are random numbers, different in each run: nothing on the way can save work because it has seen the bytes before.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np

from jetfleet.workers import node


def numbers(size_bytes: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the nodes produce, so that a measurement can tell whether the right bytes arrived."""
    return np.random.default_rng(seed).random(size_bytes // 8)


@node("payload.make_bytes")
def make_bytes(event: dict[str, int]) -> bytes:
    return numbers(event["bytes"], event["seed"]).tobytes()


@node("payload.make_float64")
def make_float64(event: dict[str, int]) -> np.ndarray:
    return numbers(event["bytes"], event["seed"])


@node("payload.hold_bytes")
def hold_bytes(value: memoryview) -> dict[str, Any]:
    return _held(time.time_ns(), np.frombuffer(value, np.float64))


@node("payload.hold_float64")
def hold_float64(value: np.ndarray) -> dict[str, Any]:
    return _held(time.time_ns(), value)


@node("payload.digest")
def digest(value: memoryview) -> dict[str, str]:
    """The SHA-256 of all that arrived."""
    return {"sha256": hashlib.sha256(value).hexdigest()}


def _held(at_ns: int, value: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    """`held_ns`: when the function had the value, by the wall clock. The sum touches every byte of it."""
    return {"held_ns": at_ns, "sum": float(value.sum())}
