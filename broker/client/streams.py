"""Streams and consumers: made, changed, looked at, deleted; and streams read without a consumer.

`last` and `get` are answered by the stream's leader, so they see every write that was acknowledged before. `read` and `last_of_each` may be
answered by a replica that is a moment behind; with one replica that is the same thing. All of this can be repeated, so a question without
an answer is asked again for up to `PATIENCE_S`, and in a cluster for as long as it may take to elect a leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .direct import PAGE_BYTES, PAGE_MESSAGES, TOO_MANY, Page, read_page
from .errors import ELECTION_S, NotFound, Refused, Unknown, refusal
from .stored import StoredMessage, from_document

if TYPE_CHECKING:
    from .connection import Connection

PATIENCE_S, ANSWER_S, AGAIN_S = 5.0, 2.0, 0.1
_EXISTS_OTHERWISE = 10058
_NO_MESSAGE, _NO_CONSUMER, _NO_STREAM = 10037, 10014, 10059
_encode, _decode = msgspec.json.encode, msgspec.json.Decoder(dict[str, Any]).decode


class Streams:
    """One per connection, as `connection.streams`. Every method may raise Unknown, and Refused with the server's reason.

    `config`s are what JetStream's API takes: durations in ns, sizes in bytes; what is left out gets the server's default.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def account(self) -> dict[str, Any]:
        """Limits and usage of the account. Asked once: NoResponders means that there is no JetStream."""
        return await self._ask_once("INFO", None, "the account", ANSWER_S)

    # --- streams

    async def create_or_update_stream(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The stream's info. A change that the server cannot make (its storage, say) is Refused."""
        name = config["name"]
        try:
            return await self._ask(f"STREAM.CREATE.{name}", config, f"stream {name}")
        except Refused as error:
            if error.err_code != _EXISTS_OTHERWISE:
                raise
        return await self._ask(f"STREAM.UPDATE.{name}", config, f"stream {name}")

    async def create_stream(self, config: Mapping[str, Any]) -> bool:
        """False: there is one of this name with another config already, and it stays as it is."""
        try:
            await self._ask(f"STREAM.CREATE.{config['name']}", config, f"stream {config['name']}")
        except Refused as error:
            if error.err_code != _EXISTS_OTHERWISE:
                raise
            return False
        return True

    async def stream_info(self, name: str) -> dict[str, Any] | None:
        """`config`, `state`, `created`…; None: there is no such stream."""
        return await self._unless(_NO_STREAM, f"STREAM.INFO.{name}", None, f"stream {name}")

    async def names(self) -> list[str]:
        """Of all streams."""
        return await self._names({})

    async def subjects(self, stream: str, subject_filter: str) -> dict[str, int]:
        """The subjects that match and have messages now, as the leader knows them, and how many.

        Raises NotFound if there is no such stream.
        """
        found: dict[str, int] = {}
        while True:
            question = {"subjects_filter": subject_filter, "offset": len(found)}
            info = await self._ask(f"STREAM.INFO.{stream}", question, f"stream {stream}")
            page = info["state"].get("subjects") or {}
            found |= page
            if not page or len(found) >= info.get("total", 0):
                return found

    async def of(self, subject: str) -> str:
        """The name of the stream that takes the subject; "": none."""
        return next(iter(await self._names({"subject": subject})), "")

    async def delete_stream(self, name: str) -> bool:
        """With everything in it. False: there was none."""
        return await self._unless(_NO_STREAM, f"STREAM.DELETE.{name}", None, f"stream {name}") is not None

    async def purge(self, stream: str, *, subject: str | None = None, seq: int | None = None, keep: int | None = None) -> int:
        """Remove messages: those on `subject`, those below `seq` (itself stays), all but the last `keep`. How many were removed."""
        asked = {"filter": subject, "seq": seq, "keep": keep}
        body = {key: value for key, value in asked.items() if value is not None}
        return int((await self._ask(f"STREAM.PURGE.{stream}", body, f"stream {stream}"))["purged"])

    async def delete_message(self, stream: str, seq: int) -> None:
        """Remove one message, and leave a hole."""
        await self._ask(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True}, f"message {seq} of stream {stream}")

    # --- consumers

    async def create_or_update_consumer(self, stream: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """The consumer's info. `config` has its `durable_name` or, if it may go by itself, its `name`."""
        name = config.get("durable_name") or config["name"]
        body = {"stream_name": stream, "config": {**config, "name": name}, "action": ""}
        return await self._ask(f"CONSUMER.CREATE.{stream}.{name}", body, f"consumer {name} of stream {stream}")

    async def consumer_info(self, stream: str, name: str) -> dict[str, Any] | None:
        """None: there is no such consumer, or no such stream."""
        subject = f"CONSUMER.INFO.{stream}.{name}"
        return await self._unless((_NO_CONSUMER, _NO_STREAM), subject, None, f"consumer {name} of stream {stream}")

    async def delete_consumer(self, stream: str, name: str) -> bool:
        """False: there was none."""
        subject = f"CONSUMER.DELETE.{stream}.{name}"
        return await self._unless((_NO_CONSUMER, _NO_STREAM), subject, None, f"consumer {name} of stream {stream}") is not None

    async def consumers(self, stream: str) -> list[dict[str, Any]]:
        """The infos of all consumers of a stream. Raises NotFound if there is no such stream."""
        found: list[dict[str, Any]] = []
        while True:
            answer = await self._ask(f"CONSUMER.LIST.{stream}", {"offset": len(found)}, f"stream {stream}")
            page = answer.get("consumers") or []
            found += page
            if not page or len(found) >= answer["total"]:
                return found

    # --- messages

    async def last(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message on a subject, which may have wildcards; None: there is none. Raises NotFound if there is no such stream."""
        return await self._message(stream, {"last_by_subj": subject}, f"the last message on {subject!r} of stream {stream}")

    async def first(self, stream: str, subject: str) -> StoredMessage | None:
        """The oldest message on a subject, which may have wildcards; None: there is none. Raises NotFound if there is no such stream."""
        return await self._message(stream, {"seq": 1, "next_by_subj": subject}, f"the first message on {subject!r} of stream {stream}")

    async def get(self, stream: str, seq: int) -> StoredMessage | None:
        """The message with this sequence; None: it was never there, or was removed. Raises NotFound if there is no such stream."""
        return await self._message(stream, {"seq": seq}, f"message {seq} of stream {stream}")

    async def read(
        self, stream: str, *, start_seq: int = 1, subject: str | None = None, max_bytes: int = PAGE_BYTES
    ) -> AsyncIterator[StoredMessage]:
        """Every message from `start_seq` to the end, in order; only those on `subject` (wildcards allowed).

        `max_bytes` bounds a page in memory.
        """
        question = {"next_by_subj": subject or ">", "batch": PAGE_MESSAGES, "max_bytes": max_bytes}
        more, seq = True, max(start_seq, 1)
        while more:
            page = await self._page(stream, {**question, "seq": seq})
            for message in page.messages:
                yield message
            more = page.more and bool(page.messages)
            seq = page.messages[-1].seq + 1 if page.messages else seq

    async def last_of_each(self, stream: str, subject_filter: str) -> list[StoredMessage]:
        """The last message of every subject that matches, in the order of their sequences."""
        try:
            return await self._last_of_each(stream, subject_filter)
        except Refused as error:
            if error.status != TOO_MANY:
                raise
        # More subjects than the server looks up at a time: read what there is, and keep the last of each.
        last = {message.subject: message async for message in self.read(stream, subject=subject_filter)}
        return sorted(last.values(), key=lambda message: message.seq)

    async def _last_of_each(self, stream: str, subject_filter: str) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        question: dict[str, Any] = {"multi_last": [subject_filter], "batch": PAGE_MESSAGES, "max_bytes": PAGE_BYTES}
        while True:
            page = await self._page(stream, question)
            found += page.messages
            if not page.more or not page.messages:
                return found
            question = {**question, "seq": page.messages[-1].seq + 1, "up_to_seq": page.up_to_seq}

    # --- asking

    @property
    def _patience_s(self) -> float:
        return ELECTION_S if self._connection.is_clustered else PATIENCE_S

    async def _message(self, stream: str, question: dict[str, Any], where: str) -> StoredMessage | None:
        answer = await self._unless(_NO_MESSAGE, f"STREAM.MSG.GET.{stream}", question, where)
        return None if answer is None else from_document(answer["message"])

    async def _names(self, question: dict[str, Any]) -> list[str]:
        names: list[str] = []
        while True:
            answer = await self._ask("STREAM.NAMES", {**question, "offset": len(names)}, "the streams")
            page = answer.get("streams") or []
            names += page
            if not page or len(names) >= answer["total"]:
                return names

    async def _page(self, stream: str, question: dict[str, Any]) -> Page:
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                return await read_page(self._connection, stream, question)
            except Unknown:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _unless(self, err_codes: int | tuple[int, ...], subject: str, body: Any, where: str) -> dict[str, Any] | None:
        """The answer; None if it is one of these refusals."""
        try:
            return await self._ask(subject, body, where)
        except NotFound as error:
            if error.err_code in (err_codes if isinstance(err_codes, tuple) else (err_codes,)):
                return None
            raise

    async def _ask(self, subject: str, body: Any, where: str) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        while True:
            try:
                return await self._ask_once(subject, body, where, min(ANSWER_S, max(deadline - loop.time(), AGAIN_S)))
            except Unknown:
                if loop.time() > deadline:
                    raise
            except Refused as error:
                if not error.passing or loop.time() > deadline:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _ask_once(self, subject: str, body: Any, where: str, timeout_s: float) -> dict[str, Any]:
        message = await self._connection.request(f"$JS.API.{subject}", b"" if body is None else _encode(body), timeout_s=timeout_s)
        answer = _decode(message.data)
        if "error" in answer:
            raise refusal(answer["error"], where)
        return answer
