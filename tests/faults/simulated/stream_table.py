"""The streams of a server: which there are, which of them takes a subject, and how much they reserve together."""

from __future__ import annotations

from typing import Any

from . import refusals
from .streams import Stream
from .timing import ServerClock


class StreamTable:
    """`most_bytes`: what the streams may reserve together, by storage (`file`, `memory`)."""

    def __init__(self, clock: ServerClock, most_bytes: dict[str, int]) -> None:
        self.streams: dict[str, Stream] = {}
        self._clock, self._most_bytes = clock, most_bytes
        self._by_first_word: dict[str, list[Stream]] = {}
        self._born_ns = 0

    def of(self, subject: str) -> Stream | None:
        """The one that takes the subject."""
        for stream in self._by_first_word.get(subject.partition(".")[0], ()):
            if stream.matches(subject):
                return stream
        return None

    def in_order(self) -> list[Stream]:
        return [self.streams[name] for name in sorted(self.streams)]

    def add(self, stream: Stream) -> None:
        self.streams[stream.name] = stream
        self.restructured()

    def drop(self, stream: Stream) -> None:
        for name in list(stream.consumers):
            stream.drop_consumer(name)
        del self.streams[stream.name]
        self.restructured()

    def restructured(self) -> None:
        """Streams take other subjects than before."""
        self._by_first_word.clear()
        for stream in self.streams.values():
            for word in dict.fromkeys(pattern.partition(".")[0] for pattern in stream.config["subjects"]):
                self._by_first_word.setdefault(word, []).append(stream)

    def reserved_bytes(self, storage: str) -> int:
        return sum(max(stream.config["max_bytes"], 0) for stream in self.streams.values() if stream.config["storage"] == storage)

    def check_room(self, config: dict[str, Any], before: int) -> None:
        """`before`: what the stream has reserved already. Raises Refusal if together they would reserve more than there is."""
        storage = config["storage"]
        if self.reserved_bytes(storage) - max(before, 0) + max(config["max_bytes"], 0) > self._most_bytes[storage]:
            raise refusals.no_memory() if storage == "memory" else refusals.no_storage()

    def born_ns(self) -> int:
        """When something was made: no two at the same time, as it is with a clock that really goes."""
        self._born_ns = max(self._clock.wall_ns(), self._born_ns + 1)
        return self._born_ns

    def recover(self, forget_consumers: bool) -> None:
        """As a server finds it that starts anew: with what was on disk."""
        for stream in list(self.streams.values()):
            if stream.in_memory:
                del self.streams[stream.name]
                continue
            for consumer in list(stream.consumers.values()):
                if consumer.in_memory or forget_consumers:
                    stream.drop_consumer(consumer.name)
                else:
                    consumer.recover()
            stream.recover()
        self.restructured()
