"""The inbox: one subscription for all answers to this process; a token in the subject says who waits for which.

An answer that nobody waits for (any more) is dropped. Nothing here has a deadline: who asks sets one. Who asked on a subject that this
user may not use is told so.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from .errors import Denied
from .message import Message
from .wire import Wire


class Inbox:
    """Answers to `address(token)` go to the one who expects them under this token, until it is forgotten.

    After a cut an answer may be lost for good: `cut` tells everybody who waits. `word`: what its subjects begin with.
    """

    def __init__(self, wire: Wire, word: str) -> None:
        self._prefix = f"{word}.{token_hex(11)}."
        self._start = len(self._prefix)
        self._next = 0
        self._waiting: dict[str, tuple[Callable[[Message], None], Callable[[], None], str]] = {}
        self._denied: dict[str, Denied] = {}
        wire.listen(f"{self._prefix}*", self._on_answer)

    def expect(self, handle: Callable[[Message], None], give_up: Callable[[], None], subject: str) -> str:
        """A new token under which `handle` is told every answer to what is asked on `subject`; `give_up` that there may be none."""
        self._next += 1
        token = str(self._next)
        self._waiting[token] = (handle, give_up, subject)
        return token

    def address(self, token: str) -> str:
        return self._prefix + token

    def forget(self, token: str) -> Denied | None:
        """Expect no more; that the question was not allowed, if it was not."""
        self._waiting.pop(token, None)
        return self._denied.pop(token, None)

    def cut(self) -> None:
        for _, give_up, _ in list(self._waiting.values()):
            give_up()

    def deny(self, error: Denied, subject: str | None) -> None:
        """Whoever asked on this subject gets no answer (None: whoever asked at all)."""
        for token, (_, give_up, asked) in list(self._waiting.items()):
            if subject is None or same_subject(asked, subject):
                self._denied[token] = error
                give_up()

    def _on_answer(self, message: Message) -> None:
        waiting = self._waiting.get(message.subject[self._start :])
        if waiting is not None:
            waiting[0](message)


def same_subject(one: str, other: str) -> bool:
    """The server's errors come in lower case."""
    return one.lower() == other.lower()
