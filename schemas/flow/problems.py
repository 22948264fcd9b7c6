"""A problem of a flow definition: what is wrong, where it stands, and what to do about it.

Every stage (text, shape, references, graph) appends to one list instead of raising at the first finding. A problem is
found at a *path* in the definition (`("edges", 3, "from")`); the loader adds the position in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` and `column` count from 1; 0 means that the definition did not come from a file."""

    code: str
    message: str
    path: Path = ()
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else ".".join(map(str, self.path)) or "flow"
        return f"{where} {self.code} {self.message}" + (f"\n    hint: {self.hint}" if self.hint else "")

    def at(self, file: str, line: int, column: int) -> Problem:
        return replace(self, file=file, line=line, column=column)
