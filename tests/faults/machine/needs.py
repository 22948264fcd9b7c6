"""What a machine must offer for a fault to be injected, and the reason for leaving it out where it does not."""

from __future__ import annotations

import os
import shutil
import subprocess

from ..registry import Missing

__all__ = ["Missing", "attempt", "command", "need_root", "tool"]

PACKAGES = {"strace": "strace", "ip": "iproute2", "mkfs.ext4": "e2fsprogs", "mount": "mount", "losetup": "mount", "nsenter": "util-linux"}
"""Debian's names of the packages that have these tools."""
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
TIMEOUT_S = 20


def need_root() -> None:
    if os.geteuid() != 0:
        raise Missing("needs root")


def tool(name: str) -> str:
    """The path of a system tool. Raises Missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if found is None:
        raise Missing(f"needs {name} (Debian package {PACKAGES.get(name, name)})")
    return found


def command(name: str, *arguments: str) -> str:
    """Run a system tool to its end; what it said. Raises Missing where the machine does not let us."""
    done = subprocess.run([tool(name), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise Missing(f"{name} {' '.join(arguments)} is refused here: {done.stderr.strip()}")
    return done.stdout


def attempt(name: str, *arguments: str) -> bool:
    """The same for clearing up, where something may be gone already; whether it went well."""
    try:
        command(name, *arguments)
    except (Missing, subprocess.TimeoutExpired):
        return False
    return True
