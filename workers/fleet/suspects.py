"""Suspects: tasks whose attempt may have been executed before. Their owner is asked, and its answer is used while it is true.

The rule: a suspect begins only on an answer to a question that was asked after every completion of its attempt from this worker was on
disk, and an attempt that is in a slot, or in the lane before it, is never begun beside that.

So for each of them, in this order:

    what is in the inline lane has had its turn      another copy may be among it
    what was put is on disk                          then the owner has read it when it answers
    the owner answers
    an attempt of it ended here since it was asked   ask once more: the answer was on its way, or the task in the lane, meanwhile
    it is in a slot                                  what comes of that counts for both

What is no suspect pays nothing for this: completions are compared with what is being asked about only while something is. Between two workers
a time remains in which both may begin: as long as an answer travels and a slot is waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from ...schemas.messages import Task
from .attempts import Key, key_of
from .ready import Ready
from .verifier import Verifier


class Watch:
    """Which of some attempts have ended in this process, and in which order. `keys` are those that somebody watches, with by how many."""

    def __init__(self) -> None:
        self.keys: Counter[Key] = Counter()
        self._ended: dict[Key, int] = {}
        self._count = 0

    def begin(self, keys: Iterable[Key]) -> None:
        self.keys.update(keys)

    def end(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.keys[key] -= 1
            if not self.keys[key]:
                del self.keys[key]
                self._ended.pop(key, None)

    def note(self, key: Key) -> None:
        """The completion of an attempt is on its way to the disk."""
        if key in self.keys:
            self._count += 1
            self._ended[key] = self._count

    def mark(self) -> int:
        """Now, for `ended_since`."""
        return self._count

    def ended_since(self, key: Key, mark: int) -> bool:
        """Whether a watched attempt has ended after this mark."""
        return self._ended.get(key, 0) > mark


class Suspects:
    """`passed` waits until the lane has worked off what is in it now, `stored` until the completions of these runs so far are on disk."""

    def __init__(
        self,
        verifier: Verifier,
        watch: Watch,
        passed: Callable[[], Awaitable[None]],
        stored: Callable[[Iterable[str]], Awaitable[None]],
    ) -> None:
        self._verifier = verifier
        self._watch = watch
        self._passed = passed
        self._stored = stored

    async def wanted(self, tasks: Sequence[Task]) -> list[bool]:
        """For each task whether its attempt is still wanted: true until whoever waits for this gives way. Waits as long as nobody knows."""
        keys = [key_of(task) for task in tasks]
        answers = [False] * len(tasks)
        places = list(range(len(tasks)))
        self._watch.begin(keys)
        try:
            while places:
                await self._passed()
                mark = self._watch.mark()
                await self._stored({tasks[place].run for place in places})
                wanted = await self._verifier.wanted([tasks[place] for place in places])
                open = [place for place, yes in zip(places, wanted, strict=True) if yes]
                places = [place for place in open if self._watch.ended_since(keys[place], mark)]
                for place in set(open).difference(places):
                    answers[place] = True
        finally:
            self._watch.end(keys)
        return answers

    def in_turn(
        self, found: list[Ready], again: Callable[[list[Task]], None], in_slot: Callable[[Ready], bool], join: Callable[[Ready], None]
    ) -> Iterator[Ready]:
        """Those of the wanted tasks that may be executed when their turn in the lane comes; it is asked `again` about those that ended."""
        keys = [key_of(task) for task, _, _ in found]
        mark = self._watch.mark()
        self._watch.begin(keys)
        return self._in_turn(found, keys, mark, again, in_slot, join)

    def _in_turn(
        self,
        found: list[Ready],
        keys: list[Key],
        mark: int,
        again: Callable[[list[Task]], None],
        in_slot: Callable[[Ready], bool],
        join: Callable[[Ready], None],
    ) -> Iterator[Ready]:
        ended = []
        for ready, key in zip(found, keys, strict=True):
            has_ended = self._watch.ended_since(key, mark)
            self._watch.end([key])
            if has_ended:
                ended.append(ready[0])
            elif in_slot(ready):
                join(ready)
            else:
                yield ready
        if ended:
            again(ended)
