"""The inbox: one subscription for all answers to this process; a token in the subject says who waits for which.

An answer that nobody waits for (any more) is dropped. Nothing here has a deadline: who asks sets one.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from .message import Message
from .wire import Wire


class Inbox:
    """Answers to `address(token)` go to the one who expects them under this token, until it is forgotten.

    After a cut an answer may be lost for good: `cut` tells everybody who waits.
    """

    def __init__(self, wire: Wire) -> None:
        self._prefix = f"_INBOX.{token_hex(11)}."
        self._start = len(self._prefix)
        self._next = 0
        self._waiting: dict[str, tuple[Callable[[Message], None], Callable[[], None]]] = {}
        wire.listen(f"{self._prefix}*", self._on_answer)

    def expect(self, handle: Callable[[Message], None], give_up: Callable[[], None]) -> str:
        """A new token under which `handle` is told every answer; `give_up` that there may be none."""
        self._next += 1
        token = str(self._next)
        self._waiting[token] = (handle, give_up)
        return token

    def address(self, token: str) -> str:
        return self._prefix + token

    def forget(self, token: str) -> None:
        self._waiting.pop(token, None)

    def cut(self) -> None:
        for _, give_up in list(self._waiting.values()):
            give_up()

    def _on_answer(self, message: Message) -> None:
        waiting = self._waiting.get(message.subject[self._start :])
        if waiting is not None:
            waiting[0](message)
