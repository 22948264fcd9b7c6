"""What a process may have, lowered before it begins: how many files it may open, and whose it is. A wrapper of `children.py`.

order(log, *arguments, environment={OPEN_FILES: "64"}, wrappers=[LOWERED])
"""

from __future__ import annotations

import os
import resource

LOWERED = __name__
OPEN_FILES, USER = "FAULTS_OPEN_FILES", "FAULTS_USER"
NOBODY = 65534


def wrap() -> None:
    if files := os.environ.get(OPEN_FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    if user := os.environ.get(USER):
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
