"""What `jetfleet send` may be given as its first argument: the name of a flow, or the subject of an event."""

from __future__ import annotations

from ...schemas.errors import UsageError

PREFIX = "events."


def flow_and_trigger(text: str, trigger: str | None) -> tuple[str, str | None]:
    """`order` or `events.order.api` as flow and trigger. Raises UsageError for any other subject, or two triggers at once."""
    if not text.startswith(PREFIX):
        if "." in text:
            raise UsageError(f"{text!r} is neither a flow nor a subject of events, which look like events.FLOW or events.FLOW.TRIGGER")
        return text, trigger
    flow, _, named = text.removeprefix(PREFIX).partition(".")
    if not flow or "." in named or any(char in text for char in "*> \t"):
        raise UsageError(f"{text!r} is no subject of an event; it looks like events.FLOW or events.FLOW.TRIGGER")
    if named and trigger not in (None, named):
        raise UsageError(f"the subject names the trigger {named!r} and --trigger another one, {trigger!r}; leave one of the two out")
    return flow, named or trigger
