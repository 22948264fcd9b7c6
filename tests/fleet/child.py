"""What a forked child does first, and then for the rest of its life: the file that `children.py` runs in it, with the ORDER it was given.

It leaves no orphan: the kernel kills it when the process that forked it is gone, and that one goes when the tests do.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .children import Order

PR_SET_PDEATHSIG = 1


def obey(order: Order) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    said = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    sys.orig_argv[:] = [sys.executable, "-m", "jetfleet.schemas", *order["arguments"]]  # a worker that takes in new code starts itself so
    if order["program"]:
        os.execv(order["program"], [order["program"], *order["arguments"]])
    root = str(Path(__file__).resolve().parents[2])
    if root not in sys.path:
        sys.path.append(root)
    for place, value in order["constants"].items():
        holder, _, name = place.rpartition(".")
        setattr(pkgutil.resolve_name(holder), name, value)
    for module in order["wrappers"]:
        importlib.import_module(module).wrap()
    sys.exit(pkgutil.resolve_name(order["main"])(list(order["arguments"])))


if "ORDER" in globals():
    obey(globals()["ORDER"])
