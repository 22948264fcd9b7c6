"""A hunt: cases of a target, one after the other, until one of them shows a defect.

Two hunters. `seeded` takes the cases of consecutive seeds; `guided` has atheris choose them by what of the decoder they reach, which finds
more and is slower to start. Whatever they find is bytes, and `keep` makes a file of them that a test replays for ever.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from .target import Target

FOUND = Path(__file__).parent / "found"
SLOW_S = 2.0
"""A case of a few hundred bytes that takes so long holds up everybody else in the process."""


@dataclass(frozen=True)
class Defect:
    """Bytes of a target that it does not refuse as it should."""

    target: str
    data: bytes
    error: BaseException

    def __str__(self) -> str:
        return f"{self.target}: {type(self.error).__name__}: {str(self.error)[:200]} of {self.data[:120]!r} ({len(self.data)} bytes)"


class TooSlow(Exception):
    """The decoder took longer than SLOW_S."""


def tried(target: Target, data: bytes) -> Defect | None:
    """The defect that the case shows, if it does."""
    begun = time.process_time()
    try:
        target.accepts(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return Defect(target.name, data, error)
    took_s = time.process_time() - begun
    return Defect(target.name, data, TooSlow(f"{took_s:.1f} s")) if took_s > SLOW_S else None


def seeded(target: Target, first: int, count: int) -> Iterator[Defect]:
    """The defects of `count` cases from the seed `first` on."""
    for seed in range(first, first + count):
        defect = tried(target, target.case(seed))
        if defect is not None:
            yield defect


def guided(target: Target, for_s: float) -> int:
    """Have atheris hunt, in a process of its own, because it never returns. 0: nothing was found; 2: there is no atheris here."""
    if find_spec("atheris") is None:
        print("atheris is not installed: pip install 'jetfleet[dev]', or leave --atheris out")
        return 2
    with TemporaryDirectory(prefix="corpus-") as corpus:
        for number, seed in enumerate(target.corpus):
            Path(corpus, str(number)).write_bytes(seed)
        command = [sys.executable, "-m", f"{__package__}.guided", target.name, str(int(for_s)), corpus]
        return subprocess.run(command, check=False).returncode


def keep(defect: Defect) -> Path:
    """Make a file of what was found, named by its target and its bytes."""
    FOUND.mkdir(exist_ok=True)
    file = FOUND / f"{slug(defect.target)}-{hashlib.sha256(defect.data).hexdigest()[:8]}"
    file.write_bytes(defect.data)
    return file


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
