"""The path policy: which folders a trigger may watch and move files to. Asked before anything is opened there.

    an allow-list is given   nothing but what lies in it, and all of that
    else                     not what is blocked; of the rest, what lies in a place where data is kept

Guarantees: what is judged is the canonical path, links resolved. Who opens it must see to it that it still is the same (`folder`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.filesystem import is_refused_anywhere

ALLOW = "JETFLEET_FS_ALLOW"
BLOCKED = (
    "/etc", "/root", "/var/log", "/proc", "/sys", "/dev", "/boot", "/var/lib/dpkg", "/var/lib/rpm", "/home/*/.ssh", "/var/lib/private",
)  # fmt: skip
"""`*` is one component."""
ALLOWED = ("/tmp", "/var/tmp", "/data", "/srv", "/opt", "/usr/local/share", "/var/data")
"""And the home folder and the current one."""


class PathNotAllowed(SourceBroken):
    """A path that the policy refuses, with what to set."""

    code = "PATH_NOT_ALLOWED"


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """`allow`: the allow-list, absolute paths; empty: the lists of this file decide."""

    allow: tuple[str, ...] = ()
    places: tuple[str, ...] = ALLOWED

    @classmethod
    def of_process(cls, environ: Mapping[str, str] = os.environ) -> PathPolicy:
        """As the environment says: paths with `:` between them."""
        allow = tuple(part for part in environ.get(ALLOW, "").split(os.pathsep) if part)
        places = (*ALLOWED, str(Path.home()), os.getcwd())
        return cls(tuple(map(os.path.realpath, allow)), tuple(map(os.path.realpath, places)))

    def canonical(self, path: str) -> str:
        """The canonical form of a path, whether or not it is there; `~` is the home folder. Raises PathNotAllowed."""
        if is_refused_anywhere(path):
            raise PathNotAllowed(f"the path {path!r} has `..` or a NUL in it: write the path of the folder itself")
        real = os.path.realpath(os.path.expanduser(path))
        self._require(path, real)
        return real

    def _require(self, path: str, real: str) -> None:
        said = path if path == real else f"{path} (that is {real})"
        if self.allow:
            if not _lies_in(real, self.allow):
                raise PathNotAllowed(f"{said} is not in {ALLOW}={os.pathsep.join(self.allow)}: add its folder there")
            return
        blocked = next((pattern for pattern in BLOCKED if _matches(real, pattern)), None)
        if blocked is not None or not _lies_in(real, self.places):
            why = f"lies in {blocked}, which is blocked" if blocked else f"is in none of {', '.join(self.places)}"
            raise PathNotAllowed(f"{said} {why}. To watch it all the same, start `jetfleet trigger serve` with {ALLOW}={real} "
                                 f"(a list of all folders that triggers may watch, with `{os.pathsep}` between them)")  # fmt: skip


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _matches(path: str, pattern: str) -> bool:
    """Whether the path is what the pattern names, or lies in it."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) >= len(wanted) and all(word in ("*", part) for part, word in zip(parts, wanted, strict=False))
