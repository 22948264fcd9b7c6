"""The messages of one stream: by sequence, and by subject.

Nothing here costs more with more messages, but for reading by a pattern with wildcards, which goes from message to message. Knows nothing
of limits, consumers or time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .stored import Stored
from .subjects import Matcher, is_literal, matcher


class Store:
    """`first_seq` is that of the first message; of an empty store, the one that comes next (0 if there never was any)."""

    def __init__(self, first_seq: int = 0) -> None:
        self.messages: dict[int, Stored] = {}
        self.by_subject: dict[str, list[int]] = {}
        self.first_seq = first_seq if first_seq > 1 else 0
        self.last_seq = max(first_seq - 1, 0)
        self.size_bytes = 0
        self.last_ns = 0

    def __len__(self) -> int:
        return len(self.messages)

    def append(self, message: Stored) -> None:
        if not self.messages:
            self.first_seq = message.seq
        self.messages[message.seq] = message
        self.by_subject.setdefault(message.subject, []).append(message.seq)
        self.last_seq, self.last_ns = message.seq, message.time_ns
        self.size_bytes += message.size_bytes

    def remove(self, seq: int) -> Stored | None:
        message = self.messages.pop(seq, None)
        if message is None:
            return None
        seqs = self.by_subject[message.subject]
        del seqs[bisect_left(seqs, seq)]
        if not seqs:
            del self.by_subject[message.subject]
        self.size_bytes -= message.size_bytes
        if seq == self.first_seq:
            self._advance()
        return message

    def drop_tail(self, count: int) -> list[Stored]:
        """As a power cut does with what was not on disk: the last messages were never there, and their sequences come again."""
        dropped = []
        while count and self.messages and self.last_seq >= self.first_seq:
            message = self.remove(self.last_seq)
            if message is not None:
                dropped.append(message)
                count -= 1
            self.last_seq -= 1
            while self.messages and self.last_seq not in self.messages:
                self.last_seq -= 1
        if not self.messages:
            self.first_seq = self.last_seq + 1
        return dropped

    def begin_at(self, seq: int) -> None:
        """The first sequence is at least this one, also where there is nothing left."""
        if not self.messages:
            self.last_seq = max(self.last_seq, seq - 1)
            self.first_seq = self.last_seq + 1

    # --- finding

    def last_seq_of(self, subject: str) -> int:
        """0: there is no message on it."""
        seqs = self.by_subject.get(subject)
        return seqs[-1] if seqs else 0

    def last_of(self, pattern: str) -> Stored | None:
        if is_literal(pattern):
            seqs = self.by_subject.get(pattern)
            return self.messages[seqs[-1]] if seqs else None
        if pattern == ">":
            return self.messages[next(self._downwards())] if self.messages else None
        newest = max((seqs[-1] for subject, seqs in self.by_subject.items() if matcher(pattern)(subject)), default=0)
        return self.messages.get(newest)

    def next_of(self, pattern: str, matches: Matcher, seq: int) -> Stored | None:
        """The first message from this sequence on. `matches`: of the pattern, or of several that are not given ("")."""
        if pattern and is_literal(pattern):
            seqs = self.by_subject.get(pattern)
            place = bisect_left(seqs, seq) if seqs else 0
            return self.messages[seqs[place]] if seqs and place < len(seqs) else None
        messages = self.messages
        for each in range(max(seq, self.first_seq), self.last_seq + 1):
            message = messages.get(each)
            if message is not None and matches(message.subject):
                return message
        return None

    def of(self, pattern: str) -> list[int]:
        """The sequences on the subjects that match, in order."""
        if pattern == ">":
            return list(self.messages)  # they were put in in order
        if is_literal(pattern):
            return list(self.by_subject.get(pattern, ()))
        matches = matcher(pattern)
        return sorted(seq for subject, seqs in self.by_subject.items() if matches(subject) for seq in seqs)

    def count_from(self, matches: Matcher, seq: int) -> int:
        """How many messages match from this sequence on."""
        if seq <= self.first_seq:
            return sum(len(seqs) for subject, seqs in self.by_subject.items() if matches(subject))
        return sum(len(seqs) - bisect_left(seqs, seq) for subject, seqs in self.by_subject.items() if matches(subject))

    def subjects(self, pattern: str) -> dict[str, int]:
        matches = matcher(pattern)
        return {subject: len(seqs) for subject, seqs in sorted(self.by_subject.items()) if matches(subject)}

    def _advance(self) -> None:
        if not self.messages:
            self.first_seq = self.last_seq + 1
            return
        while self.first_seq not in self.messages:
            self.first_seq += 1

    def _downwards(self) -> Iterator[int]:
        return reversed(self.messages)
