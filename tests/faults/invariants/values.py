"""I7: whoever reads a large value gets the bytes that were written, or an error that says that they are not to be had."""

from __future__ import annotations

from ..evidence import Evidence
from .finding import Finding, NotKnown


def values_are_right_or_lost(evidence: Evidence) -> Finding:
    if evidence.values is None:
        return NotKnown("large values that were read")
    wrong = [value for value in evidence.values if value.got is not None and value.got != value.expected]
    untyped = [value for value in evidence.values if value.got is None and not value.error]
    return [f"value {value.ref} was read as {value.got:#x}, and was written as {value.expected:#x}" for value in wrong] + [
        f"value {value.ref} was neither read nor refused" for value in untyped
    ]
