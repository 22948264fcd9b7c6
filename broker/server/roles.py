"""A user for each role, in the language of the server's configuration. Pure.

Passwords and nkeys are not in it: `$JETFLEET_PASSWORD_WORKER` stands for what the server finds in its environment. Each user has an inbox
of its own, `_INBOX_<role>`, so that nobody hears the answers to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from ..permissions import RESPONSES_S, ROLES, Permissions, Scope, permissions
from .config import literal

Proof = Literal["password", "nkey"]


def inbox(role: str) -> str:
    return f"_INBOX_{role}"


def allowed(role: str, scope: Scope) -> Permissions:
    """With the role's inbox."""
    found = permissions(role, scope)
    return Permissions(_unique(found.publish), _unique((f"{inbox(role)}.>", *found.subscribe)), found.answers)


def roles_text(roles: Sequence[str] = ROLES, scope: Scope = Scope(), by: Proof = "password") -> str:  # noqa: B008 - it is frozen
    return "\n".join(["authorization {", "  users: [", *(line for role in roles for line in _user(role, scope, by)), "  ]", "}"]) + "\n"


def _user(role: str, scope: Scope, by: Proof) -> Iterator[str]:
    may = allowed(role, scope)
    yield "    {"
    yield f"      {_who(role, by)}"
    yield "      permissions: {"
    yield from _subjects("publish", may.publish)
    yield from _subjects("subscribe", may.subscribe)
    if may.answers:
        yield f'        allow_responses: {{ max: 1, expires: "{RESPONSES_S}s" }}'
    yield "      }"
    yield "    }"


def _who(role: str, by: Proof) -> str:
    if by == "nkey":
        return f"nkey: $JETFLEET_NKEY_{role.upper()}"
    return f"user: {literal(role)}, password: $JETFLEET_PASSWORD_{role.upper()}"


def _subjects(verb: str, subjects: Iterable[str]) -> Iterator[str]:
    yield f"        {verb}: {{ allow: ["
    yield from (f"          {literal(subject)}" for subject in subjects)
    yield "        ] }"


def _unique(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subjects))
