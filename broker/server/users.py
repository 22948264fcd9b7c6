"""Users: a file in the language of the server's configuration that says who may connect and what each of them may.

`jetfleet server permissions` prints one. It is read whenever the server starts, and becomes part of the configuration in its folder, which
only its owner can read; `$NAME` in it stands for a variable of the environment, so the file itself need not hold a password.
"""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import UsageError


def users_text(path: Path | None) -> str:
    """What is in the file; nothing without one. Raises UsageError."""
    if path is None:
        return ""
    try:
        return "\n" + path.read_text(encoding="utf-8") + "\n"
    except (OSError, ValueError) as error:
        raise UsageError(f"the file of users {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
