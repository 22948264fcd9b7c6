"""A minute of a small fleet's life (`life.py`): every message that its processes publish, as it goes over the wire."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from jetfleet.broker.client import Connection, Message
from jetfleet.broker.fleet import process

from ...fleet.conftest import start_server
from ...fleet.fleets import fleet
from ...fleet.running import run
from ..defects import patched
from ..life import live, reading
from .tape import Sent

PARTITIONS = 2
QUESTIONS = (
    "_INBOX",
    "$",
    "query.",
    "verify.",
    "run.",
    "open.",
    "count.",
    "waiting.",
    "decided.",
    "takes.",
    "slots.",
    "limits.",
    "upload.",
)
"""They live for a moment, between processes of one version."""
SECRETS = "secret."
OF_THIS_MACHINE = (b"/work", b"/tmp", b"/root", b"/home", b"/dev/shm")
LIMIT_S = 60


def minute_of_a_fleet() -> list[Sent]:
    """On a server of its own. Who reads it learns nothing of the machine that it was recorded on."""
    with ExitStack() as stack:
        for name in ("host", "boot"):
            stack.enter_context(patched(process, name, lambda whole: lambda: "golden"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = start_server(folder / "server")
        stack.callback(server.stop)
        sent = run(_lived(server.url, folder), LIMIT_S)
    for each in sent:
        assert not any(place in each.data for place in OF_THIS_MACHINE), f"{each.subject} names a path of this machine: {each.data!r}"
    return sent


async def _lived(url: str, folder: Path) -> list[Sent]:
    sent: dict[tuple[str, bytes], Sent] = {}  # each message once: what consumers get comes under its own subject too

    def note(message: Message) -> None:
        if not message.subject.startswith((*QUESTIONS, SECRETS)):
            each = Sent(message.subject, dict(message.headers), bytes(message.data))
            sent.setdefault((each.subject, each.data), each)

    async with AsyncExitStack() as stack:
        tape = await stack.enter_async_context(await Connection.open(url, name="tape"))
        await tape.subscribe(">", note)
        one = await stack.enter_async_context(fleet(url, folder, partitions=PARTITIONS))
        await stack.enter_async_context(reading(one, folder))
        await live(one)
    return list(sent.values())
