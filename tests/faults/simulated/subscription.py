"""A subscription: the interest of one connection in one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .link import Link


class Subscription:
    """`queue`: "" or the group of which one is told."""

    __slots__ = ("link", "queue", "sid", "subject")

    def __init__(self, link: Link, subject: str, queue: str, sid: int) -> None:
        self.link, self.subject, self.queue, self.sid = link, subject, queue, sid
