"""Start a run by an event, with the client library of NATS:

    pip install nats-py && python publish.py nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'

Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
"""

import asyncio
import os
import ssl
import sys

import nats
from nats.errors import Error


async def publish(server: str, to: str, key: str, event: str) -> str:
    user, password, ca = (os.environ.get(f"NATS_{name}") for name in ("USER", "PASSWORD", "CA"))
    login = {"user": user, "password": password, "inbox_prefix": os.environ.get("NATS_INBOX_PREFIX", "_INBOX")}
    tls = ssl.create_default_context(cafile=ca) if ca else None
    client = await nats.connect(server, tls=tls, max_reconnect_attempts=1, error_cb=quiet, **login)
    async with client:
        subject = to if "." in to else f"events.{to}"
        answer = await client.jetstream().publish(subject, event.encode(), headers={"Nats-Msg-Id": f"{to}-{key}"})
        return f"{answer.stream} {answer.seq}" + " duplicate" * bool(answer.duplicate)


async def quiet(error: Exception) -> None:
    """Whatever it is, `publish` raises it too."""


try:
    print(asyncio.run(publish(*sys.argv[1:])))
except (Error, OSError) as error:
    sys.exit(f"not published: {error!r}")
