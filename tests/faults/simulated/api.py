"""`$JS.API.…`: streams and consumers made, changed, looked at and deleted, and messages read and removed one at a time.

Every answer has the names, types and error codes of nats-server 2.15, as far as jetfleet reads them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from . import refusals
from .configs import (
    check_change,
    check_company,
    check_consumer_change,
    check_place,
    consumer_config,
    consumers_of,
    filters_of,
    shown,
    stream_config,
)
from .consumers import Consumer
from .stored import Stored, rfc3339
from .streams import Stream
from .subjects import matcher, overlap

if TYPE_CHECKING:
    from .server import SimulatedServer

NAMES_PAGE, LIST_PAGE, SUBJECTS_PAGE = 1_024, 256, 100_000
Question = dict[str, Any]
Document = dict[str, Any]
_UNTOLD: dict[str, Document] = {"STREAM.INFO": {"total": 0, "offset": 0, "limit": 0}, "STREAM.PURGE": {"purged": 0}}
"""What stands in an answer also where it says nothing."""
_decode = msgspec.json.Decoder().decode


class Api:
    """Of one server."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server, self._table = server, server.table
        self._calls: dict[str, Callable[[str, Question], Document]] = {
            "STREAM.CREATE": self._create_stream,
            "STREAM.UPDATE": self._update_stream,
            "STREAM.INFO": self._stream_info,
            "STREAM.DELETE": self._delete_stream,
            "STREAM.PURGE": self._purge,
            "MSG.GET": self._message,
            "MSG.DELETE": self._delete_message,
            "CONSUMER.CREATE": self._create_consumer,
            "CONSUMER.INFO": self._consumer_info,
            "CONSUMER.DELETE": self._delete_consumer,
            "CONSUMER.LIST": self._list_consumers,
            "CONSUMER.NAMES": self._consumer_names,
        }
        self._lists: dict[str, Callable[[Question], Document]] = {
            "INFO": self._account,
            "STREAM.NAMES": self._stream_names,
            "STREAM.LIST": self._list_streams,
        }

    def answer(self, call: str, data: bytes) -> bytes | None:
        """`call`: the subject without `$JS.API.`. None: there is no such call."""
        about = ""
        whole = self._lists.get(call)
        if whole is None:
            words = call.split(".", 3)
            skipped = 1 if words[:2] == ["STREAM", "MSG"] else 0
            words = call.split(".", 2 + skipped)
            if len(words) < 3 + skipped:
                return None
            call, about = ".".join(words[skipped : 2 + skipped]), words[2 + skipped]
            if call not in self._calls:
                return None
        kind = "account_info" if call == "INFO" else call.lower().replace(".", "_").replace("msg", "stream_msg")
        document: Document = {"type": f"io.nats.jetstream.api.v1.{kind}_response"} | _UNTOLD.get(call, {})
        try:
            question = _decode(data) if data else {}
            document |= whole(question) if whole is not None else self._calls[call](about, question)
        except refusals.Refusal as refusal:
            document["error"] = refusal.document
        return self._server.encode(document)

    # --- the account

    def _account(self, _: Question) -> Document:
        streams = self._table.streams.values()
        return {
            "memory": sum(stream.store.size_bytes for stream in streams if stream.in_memory),
            "storage": sum(stream.store.size_bytes for stream in streams if not stream.in_memory),
            "reserved_memory": self._table.reserved_bytes("memory"),
            "reserved_storage": self._table.reserved_bytes("file"),
            "streams": len(streams),
            "consumers": sum(len(stream.consumers) for stream in streams),
            "limits": {"max_memory": -1, "max_storage": -1, "max_streams": -1, "max_consumers": -1},
            "api": {"level": 5, "total": 1, "errors": 0},
        }

    def _stream_names(self, question: Question) -> Document:
        subject = question.get("subject") or ""
        found = [
            stream.name for stream in self._table.in_order()
            if not subject or any(overlap(each, subject) for each in stream.config["subjects"])
        ]  # fmt: skip
        return _page("streams", found, question, NAMES_PAGE)

    def _list_streams(self, question: Question) -> Document:
        return _page("streams", [_shown(stream) for stream in self._table.in_order()], question, LIST_PAGE)

    # --- streams

    def _stream(self, name: str) -> Stream:
        found = self._table.streams.get(name)
        if found is None:
            raise refusals.stream_not_found()
        return found

    def _create_stream(self, name: str, asked: Question) -> Document:
        config = stream_config(asked)
        there = self._table.streams.get(name)
        if there is not None:
            if there.config != config:
                raise refusals.exists_otherwise()
            return _shown(there) | {"did_create": True}
        check_place(config, self._table.streams.values())
        self._table.check_room(config, 0)
        stream = Stream(self._server, config)
        self._table.add(stream)
        return _shown(stream) | {"did_create": True}

    def _update_stream(self, name: str, asked: Question) -> Document:
        stream = self._stream(name)
        config = stream_config({key: value for key, value in asked.items() if key != "metadata"})
        check_change(stream.config, config)
        check_place(config, self._table.streams.values())
        self._table.check_room(config, stream.config["max_bytes"])
        stream.reconfigure(config)
        self._table.restructured()
        return _shown(stream)

    def _stream_info(self, name: str, question: Question) -> Document:
        stream = self._stream(name)
        document = _shown(stream)
        pattern = question.get("subjects_filter")
        if pattern:
            offset = int(question.get("offset") or 0)
            found = list(stream.store.subjects(pattern).items())
            if found:
                document["state"]["subjects"] = dict(found[offset : offset + SUBJECTS_PAGE])
                document |= {"total": len(found), "offset": offset, "limit": SUBJECTS_PAGE}
        return document

    def _delete_stream(self, name: str, _: Question) -> Document:
        self._table.drop(self._stream(name))
        return {"success": True}

    def _purge(self, name: str, question: Question) -> Document:
        seq, keep = int(question.get("seq") or 0), int(question.get("keep") or 0)
        if seq and keep:
            raise refusals.bad_request()
        return {"success": True, "purged": self._stream(name).purge(question.get("filter") or "", seq, keep)}

    # --- messages

    def _message(self, name: str, question: Question) -> Document:
        store = self._stream(name).store
        pattern = question.get("next_by_subj")
        if pattern:
            found = store.next_of(pattern, matcher(pattern), int(question.get("seq") or 1))
        elif question.get("last_by_subj"):
            found = store.last_of(question["last_by_subj"])
        else:
            found = store.messages.get(int(question.get("seq") or 0))
        if found is None:
            raise refusals.no_message()
        return {"message": _document(found)}

    def _delete_message(self, name: str, question: Question) -> Document:
        stream, seq = self._stream(name), int(question.get("seq") or 0)
        if not stream.remove(seq):
            if seq > stream.store.last_seq and not stream.in_memory:
                raise refusals.delete_failed("stream store EOF")
            raise (
                refusals.delete_failed("no message found")
                if seq < stream.store.first_seq and not stream.in_memory
                else refusals.sequence_not_found(seq)
            )
        return {"success": True}

    # --- consumers

    def _consumer(self, about: str) -> Consumer:
        name, _, consumer = about.partition(".")
        found = self._stream(name).consumers.get(consumer)
        if found is None:
            raise refusals.consumer_not_found()
        return found

    def _create_consumer(self, about: str, question: Question) -> Document:
        stream = self._stream(about.partition(".")[0])
        config = consumer_config({**question["config"], "name": question["config"].get("name") or about.split(".")[1]}, stream)
        there = stream.consumers.get(config["name"])
        if there is None:
            check_company(config, stream)
            limit = stream.config["max_consumers"]
            if 0 < limit <= len(stream.consumers):
                raise refusals.Refusal(400, 10026, "maximum consumers limit reached")
            there = Consumer(stream, config)
            stream.add_consumer(there)
        elif there.config != config:
            check_consumer_change(there.config, config)
            check_company(config, stream)
            refiltered = filters_of(there.config) != filters_of(config)
            there.reconfigure(config)
            if refiltered:
                there.refiltered()
        return there.info()

    def _consumer_info(self, about: str, _: Question) -> Document:
        return self._consumer(about).info()

    def _delete_consumer(self, about: str, _: Question) -> Document:
        consumer = self._consumer(about)
        consumer.stream.drop_consumer(consumer.name)
        return {"success": True}

    def _list_consumers(self, name: str, question: Question) -> Document:
        return _page("consumers", [each.info() for each in consumers_of(self._stream(name))], question, LIST_PAGE)

    def _consumer_names(self, name: str, question: Question) -> Document:
        return _page("consumers", [each.name for each in consumers_of(self._stream(name))], question, NAMES_PAGE)


def _shown(stream: Stream) -> Document:
    document = stream.info()
    return document | {"config": shown(document["config"])}


def _page(name: str, found: list[Any], question: Question, most: int) -> Document:
    offset = min(int(question.get("offset") or 0), len(found))
    return {"total": len(found), "offset": offset, "limit": most, name: found[offset : offset + most] or None}


def _document(message: Stored) -> Document:
    document = {"subject": message.subject, "seq": message.seq, "time": rfc3339(message.time_ns)}
    if message.headers:
        document["hdrs"] = base64.b64encode(message.headers).decode()
    if message.data:
        document["data"] = base64.b64encode(message.data).decode()
    return document
