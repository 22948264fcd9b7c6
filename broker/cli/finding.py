"""A finding: what a check of the doctor's says in one line.

`ok` is well, `note` is worth knowing, `bad` needs somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    grade: Grade
    says: str
