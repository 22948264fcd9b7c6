"""Answering: the options of an answer to an approval, and what is said when it was the one that counted."""

from __future__ import annotations

import functools
import getpass
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from ..api import Decided
from .event_input import read_value
from .printing import as_json, note

_OPTIONS = (
    click.option("--response", metavar="JSON|@FILE", help="What goes on to the next node, as the approval's schema wants it."),
    click.option("--reason", default="", metavar="TEXT", help="Why."),
    click.option("--by", metavar="NAME", help="Who decides; the default is the user who types this."),
    click.option("--id", default="", metavar="KEY", help="The same key again is the same answer."),
)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer besides its decision, as the arguments of `Client.answer` are called."""

    response: Any
    reason: str
    by: str
    id: str


_IN_WORDS = {"approve": "approved", "reject": "rejected", "escalate": "escalated"}


def answer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of an answer; the command gets them as its `said`."""

    @functools.wraps(command)
    def with_answer(*args: Any, response: str | None, reason: str, by: str | None, id: str, **given: Any) -> Any:
        said = Said(read_value(response, "the response"), reason, _user() if by is None else by, id)
        return command(*args, said=said, **given)

    for option in reversed(_OPTIONS):
        with_answer = option(with_answer)
    return with_answer


def answered(found: Decided, form: str) -> None:
    """Say what was decided."""
    if form == "json":
        value = {"run_id": found.run, "approval": found.name, "decision": found.decision, "by": found.by, "at": found.at}
        click.echo(as_json(value | {"reason": found.reason}))
    else:
        note(f"{found.name} of run {found.run} is {_IN_WORDS[found.decision]}")


def options(said: Said) -> dict[str, Any]:
    """As arguments by name."""
    return {"response": said.response, "reason": said.reason, "by": said.by, "id": said.id}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process whose user has no name
        return ""
