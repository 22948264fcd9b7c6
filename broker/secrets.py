"""Secrets: passwords, keys and tokens, by name. What is written in a flow or a command names a secret and never holds one.

A secret is an environment variable `JETFLEET_SECRET_<NAME>`, or a file that has its name in the folder `JETFLEET_SECRETS` (default
`/run/secrets`, where container platforms put theirs). Names are the same in any case; the variable counts before the file.

Read whenever it is asked for, so that a file that was replaced counts from then on. Nothing is kept or logged here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..schemas.errors import JetfleetError

PREFIX = "JETFLEET_SECRET_"
FOLDER = "JETFLEET_SECRETS"
FOLDER_DEFAULT = "/run/secrets"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What may be the name of a file: nothing that leads out of the folder."""


class SecretMissing(JetfleetError):
    """A secret that is named somewhere is not set here."""

    code = "SECRET_MISSING"


def find(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The secret's value, without a line break at its end; None if it is not set, or its file cannot be read."""
    value = environ.get(PREFIX + name.upper())
    if value is not None or not _NAME.fullmatch(name):
        return value
    folder = Path(environ.get(FOLDER, FOLDER_DEFAULT))
    for written in dict.fromkeys((name, name.lower(), name.upper())):
        try:
            return (folder / written).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            continue
    return None


def require(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret's value. Raises SecretMissing, with what to do; an empty one is missing too."""
    value = find(name, environ)
    if not value:
        raise SecretMissing(f"the secret `{name}` is not set: {remedy(name, environ)}")
    return value


def remedy(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """What to do for a secret that is not set."""
    file = f"{environ.get(FOLDER, FOLDER_DEFAULT)}/{name.lower()}"
    return f"export {PREFIX}{name.upper()} where this process runs, or put it into the file {file}"


def names(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Of all secrets that are set here, in lower case."""
    found = {key.removeprefix(PREFIX).lower() for key in environ if key.startswith(PREFIX)}
    with contextlib.suppress(OSError):
        found |= {entry.name.lower() for entry in Path(environ.get(FOLDER, FOLDER_DEFAULT)).iterdir() if _NAME.fullmatch(entry.name)}
    yield from sorted(found)
