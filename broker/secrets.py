"""Secrets: passwords, keys and tokens, by name. What is written in a flow or a command names a secret and never holds one.

A secret is an environment variable `JETFLEET_SECRET_<NAME>`, or a file that has its name in the folder `JETFLEET_SECRETS` (default
`/run/secrets`, where container platforms put theirs). Names are the same in any case; the variable counts before the file.

A text that is no name is never repeated.

Read whenever it is asked for, so that a file that was replaced counts from then on. Nothing is kept or logged here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..schemas.errors import JetfleetError
from ..schemas.flow.secret_name import WORDS, is_secret_name

PREFIX = "JETFLEET_SECRET_"
FOLDER = "JETFLEET_SECRETS"
FOLDER_DEFAULT = "/run/secrets"
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")
"""What a shell takes as (the end of) the name of a variable."""


class SecretMissing(JetfleetError):
    """A secret that is named somewhere is not set here."""

    code = "SECRET_MISSING"


def find(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The secret's value, without a line break at its end; None if it is not set, or its file cannot be read."""
    value = environ.get(PREFIX + name.upper())
    if value is not None or not is_secret_name(name):
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
        raise SecretMissing(missing(name, environ))
    return value


def missing(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """That a secret is not set, and what to do. A text that is no name is not repeated: it may be the secret itself."""
    if not is_secret_name(name):
        return f"a secret is asked for by a text that is no name (it is not shown: it may be the secret itself); a name has {WORDS}"
    file = f"put it into the file {environ.get(FOLDER, FOLDER_DEFAULT)}/{name.lower()}"
    variable = f"export {PREFIX}{name.upper()} where this process runs, or " if _VARIABLE.fullmatch(name) else ""
    return f"the secret `{name}` is not set: {variable}{file}"


def names(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Of all secrets that are set here, in lower case."""
    found = {key.removeprefix(PREFIX).lower() for key in environ if key.startswith(PREFIX)}
    with contextlib.suppress(OSError):
        found |= {entry.name.lower() for entry in Path(environ.get(FOLDER, FOLDER_DEFAULT)).iterdir() if is_secret_name(entry.name)}
    yield from sorted(found)
