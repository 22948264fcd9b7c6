"""The same operations on a real server and on the simulated one, one after the other, and what a client sees of each.

    async def script(pair: Pair) -> None:
        await pair.same(lambda side: side.publish("a", b"1"))      # both answer the same
        await pair.alike(lambda side: side.info())                 # and soon show the same

    play(url, script)

Times, and what the server makes up (ids, names of inboxes), are left out of what is compared; everything else is compared as it came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any
from unittest.mock import patch

from jetfleet.broker.client import BrokerError, Connection, Message, Refused
from jetfleet.broker.client.wire import encode_publish

from .server import SimulatedServer

PLAY_MAX_S = 30
_numbers = count(1)
SOON_S, AGAIN_S = 2.0, 0.01
STATE = ("messages", "bytes", "first_seq", "last_seq", "num_subjects", "num_deleted", "consumer_count", "subjects")
CONSUMER = ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_waiting", "num_pending")
_FILLED_IN = ("metadata", "created", "ts", "first_ts", "last_ts", "last_active", "cluster")
Seen = Any


class Side:
    """One of the two servers, with a stream of this script. `held`: messages that were delivered and may be acknowledged."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self.connection, self.prefix = connection, prefix
        self.stream = prefix.upper()
        self.held: list[Message] = []
        self._asks, self._batches = count(1), count(1)

    def subject(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    # --- streams and consumers

    async def api(self, call: str, question: Any = None) -> Seen:
        """The server's answer, without times."""
        body = b"" if question is None else json.dumps(question).encode()
        answer = await self.connection.request(f"$JS.API.{call}", body)
        return _without_times(json.loads(answer.data))

    async def create(self, **config: Any) -> Seen:
        question = {"name": self.stream, "subjects": [self.subject(">")], "allow_direct": True, **config}
        return await self.api(f"STREAM.CREATE.{self.stream}", question)

    async def update(self, **config: Any) -> Seen:
        question = {"name": self.stream, "subjects": [self.subject(">")], "allow_direct": True, **config}
        return await self.api(f"STREAM.UPDATE.{self.stream}", question)

    async def consumer(self, name: str, *filters: str, **config: Any) -> Seen:
        whole = {"durable_name": name, "name": name, "filter_subjects": [self.subject(each) for each in filters], **config}
        question = {"stream_name": self.stream, "config": whole, "action": ""}
        return await self.api(f"CONSUMER.CREATE.{self.stream}.{name}", question)

    async def delete_consumer(self, name: str) -> Seen:
        return await self.api(f"CONSUMER.DELETE.{self.stream}.{name}")

    async def purge(self, **question: Any) -> Seen:
        if "filter" in question:
            question["filter"] = self.subject(question["filter"])
        return await self.api(f"STREAM.PURGE.{self.stream}", question)

    async def delete(self, seq: int) -> Seen:
        return await self.api(f"STREAM.MSG.DELETE.{self.stream}", {"seq": seq, "no_erase": True})

    # --- looking

    async def info(self, pattern: str = "") -> Seen:
        question = {"subjects_filter": self.subject(pattern)} if pattern else None
        state = (await self.api(f"STREAM.INFO.{self.stream}", question))["state"]
        shown = {name: state.get(name) for name in STATE}
        if not shown["messages"]:  # where the gap before the next message begins depends on the files of the real one
            shown["first_seq"] = shown["num_deleted"] = None
        return shown

    async def consumer_info(self, name: str) -> Seen:
        info = await self.api(f"CONSUMER.INFO.{self.stream}.{name}")
        if "error" in info:
            return info["error"]
        return {part: _numbers_of(info[part]) for part in CONSUMER}

    async def message(self, **question: Any) -> Seen:
        for name in ("last_by_subj", "next_by_subj"):
            if name in question:
                question[name] = self.subject(question[name])
        answer = await self.api(f"STREAM.MSG.GET.{self.stream}", question)
        return answer.get("error") or {name: value for name, value in answer["message"].items() if name != "time"}

    async def direct(self, subject: str = "", **question: Any) -> Seen:
        """All answers up to the end mark."""
        if "next_by_subj" in question:
            question["next_by_subj"] = self.subject(question["next_by_subj"])
        if "multi_last" in question:
            question["multi_last"] = [self.subject(each) for each in question["multi_last"]]
        call = f"$JS.API.DIRECT.GET.{self.stream}" + (f".{self.subject(subject)}" if subject else "")
        several = "batch" in question or "multi_last" in question
        messages = await self._answers(call, question or None, lambda found: bool(found) and (not several or _is_end(found[-1])))
        return [_fields(each) for each in messages]

    # --- publishing

    async def publish(self, name: str, data: bytes = b"", **headers: str) -> Seen:
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        command, _ = encode_publish(self.subject(name), data, "%REPLY%", fields)
        (answer,) = await self._answers(command, None, lambda found: len(found) == 1)
        return _fields(answer) if answer.status else json.loads(answer.data)

    async def submit(self, name: str, data: bytes = b"", **options: Any) -> Seen:
        """As the product does it."""
        try:
            return await self.connection.publisher.publish(self.subject(name), data, **options)
        except Refused as error:
            return error.code, error.err_code, error.status, error.description
        except BrokerError as error:
            return error.code

    async def batch(self, *parts: tuple[str, bytes, dict[str, str]]) -> Seen:
        """Together, or none of them."""
        batch = f"b{next(self._batches)}"
        written = b""
        for number, (name, data, headers) in enumerate(parts, 1):
            about = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)} | (
                {"Nats-Batch-Commit": "1"} if number == len(parts) else {}
            )
            written += encode_publish(self.subject(name), data, "%REPLY%" if number == len(parts) else "", headers | about)[0]
        (answer,) = await self._answers(written, None, lambda found: len(found) == 1)
        return _without(json.loads(answer.data), "batch")

    # --- consuming

    async def pull(self, consumer: str, batch: int, **question: Any) -> Seen:
        """Everything that comes of one ask: messages up to the status that ends it, or as many as were asked for."""
        call = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{consumer}"
        found = await self._answers(call, {"batch": batch, **question}, lambda got: _is_over(got, batch))
        self.held += [each for each in found if each.reply]
        return [_delivery(each, self.prefix) for each in found]

    async def acknowledge(self, place: int, word: bytes) -> Seen:
        """The message that was delivered as number `place`. Returns when the server has heard it; it may take it a moment later."""
        await self.connection.send(self.held[place].reply, word)
        await self.connection.streams.account()
        await asyncio.sleep(AGAIN_S)

    async def _answers(self, to: str | bytes, question: Any, over: Callable[[list[Message]], bool]) -> list[Message]:
        """What comes on an inbox of its own until it is `over`. `to`: a subject, or written commands with %REPLY% in them."""
        found: list[Message] = []
        done = asyncio.Event()

        def take(message: Message) -> None:
            if message.status != 100:
                found.append(message)
            if over(found):
                done.set()

        inbox = f"_INBOX.conformance{next(self._asks):06}"
        subscription = self.connection.listen(inbox, take)
        if isinstance(to, bytes):
            written = to.replace(b"%REPLY%", inbox.encode())
        else:
            written, _ = encode_publish(to, b"" if question is None else json.dumps(question).encode(), inbox)
        self.connection.try_write(written)
        try:
            async with asyncio.timeout(5):
                await done.wait()
        finally:
            await subscription.stop()
        return found


class Pair:
    """Both servers. Every method returns what both have in common, or fails and says what they do not."""

    def __init__(self, real: Side, simulated: Side, server: SimulatedServer) -> None:
        self.real, self.simulated, self.server = real, simulated, server
        self.done: list[str] = []

    async def same(self, operation: Callable[[Side], Awaitable[Seen]], what: str = "") -> Seen:
        """Both answer the same, at once."""
        real, simulated = await asyncio.gather(operation(self.real), operation(self.simulated))
        self.done.append(f"{what} -> {real}")
        assert simulated == real, self._difference(what, real, simulated)
        return real

    async def alike(self, look: Callable[[Side], Awaitable[Seen]], what: str = "") -> Seen:
        """Both show the same, as soon as the real one has come to rest. Only for what changes nothing."""
        simulated = await look(self.simulated)
        deadline_s = asyncio.get_running_loop().time() + SOON_S
        while (real := await look(self.real)) != simulated and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(AGAIN_S)
            simulated = await look(self.simulated)
        assert simulated == real, self._difference(what, real, simulated)
        return real

    def _difference(self, what: str, real: Seen, simulated: Seen) -> str:
        before = "\n  ".join(each[:300] for each in self.done[-30:])
        there, here = _apart(real, simulated)
        return f"{what}\nreal:      {there}\nsimulated: {here}\nafter\n  {before}"


def play(url: str, script: Callable[[Pair], Awaitable[None]]) -> None:
    """Run a script on the real server at that address and on a simulated one of its own."""

    async def played() -> None:
        async with asyncio.timeout(PLAY_MAX_S), AsyncExitStack() as stack:
            await script(await _opened(stack, url))

    asyncio.run(played())


async def _opened(stack: AsyncExitStack, url: str) -> Pair:
    """Both servers, and on each a prefix that nobody else uses."""
    prefix = f"conformance{next(_numbers)}"
    server = SimulatedServer()
    real = await stack.enter_async_context(await Connection.open(url, name="real"))
    with patch("jetfleet.broker.client.connection.Wire", server.wire):
        simulated = await stack.enter_async_context(await Connection.open("nats://simulated", name="simulated"))
    return Pair(Side(real, prefix), Side(simulated, prefix), server)


def _apart(one: Seen, other: Seen) -> tuple[Seen, Seen]:
    """What two have not in common."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one, other
    names = [name for name in {**one, **other} if one.get(name) != other.get(name) or (name in one) != (name in other)]
    apart = {name: _apart(one.get(name, "(not there)"), other.get(name, "(not there)")) for name in names}
    return {name: pair[0] for name, pair in apart.items()}, {name: pair[1] for name, pair in apart.items()}


# --- what is left out of a comparison


def _without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def _without_times(document: dict[str, Any]) -> dict[str, Any]:
    document = _without(document, *_FILLED_IN)
    for name in ("config", "state", "delivered", "ack_floor"):
        if name in document:
            document[name] = _without(document[name], *_FILLED_IN)
    return _as_written(document) if "delivered" in document else document


def _as_written(info: dict[str, Any]) -> dict[str, Any]:
    """Of a consumer that gave nothing yet, a real server shows where it looks next until it has written its first file."""
    return info if info["delivered"]["consumer_seq"] else {**info, "delivered": {"consumer_seq": 0}}


def _numbers_of(part: Any) -> Any:
    return {name: part.get(name) for name in ("consumer_seq", "stream_seq")} if isinstance(part, dict) else part


def _fields(message: Message) -> Seen:
    headers = {name: value for name, value in message.headers.items() if name != "Nats-Time-Stamp"}
    return message.status, message.status_text, headers, message.data


def _delivery(message: Message, prefix: str) -> Seen:
    if not message.reply:
        return _fields(message)
    facts = (message.delivered, message.stream_seq, message.consumer_seq, message.pending)
    return message.subject.removeprefix(prefix), dict(message.headers), message.data, facts


def _is_end(message: Message) -> bool:
    return bool(message.status) and "Nats-Sequence" not in message.headers


def _is_over(found: list[Message], batch: int) -> bool:
    return bool(found) and (len(found) == batch or (not found[-1].reply and bool(found[-1].status)))
