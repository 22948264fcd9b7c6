"""Suspects: tasks whose attempt may have been executed before. Their owner is asked, and its answer is used while it is true.

The rule: a suspect begins only on the answer to a question that was asked after every completion of its attempt from this worker was on
disk, and never beside an attempt that is in a slot here, or was before it in the lane.

So, for each of them and in this order:

    what is in the inline lane has had its turn        another copy may be among it
    completions that were put are on disk              then the owner has read them when it answers
    the owner answers
    the attempt has ended here since it was asked?     ask once more: the answer was on its way, or the task in the lane
    it is in a slot?                                   what comes of that counts for both

Who waits for a slot with an answer asks once more when it has one. Between two workers a moment remains in which both may begin:
while an answer travels.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from ...schemas.messages import Task
from .attempts import key_of
from .ready import Ready
from .verifier import Verifier
from .watch import Key, Watch


class Suspects:
    """`passed` waits until the lane has worked off what is in it now; `stored`, until the completions of these runs so far are on disk."""

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
        """For each task whether its attempt is still wanted. True holds until whoever waits for this gives way.

        Waits as long as nobody knows.
        """
        keys = [key_of(task) for task in tasks]
        answers, marks = [False] * len(tasks), [0] * len(tasks)
        places = list(range(len(tasks)))
        self._watch.begin(keys)
        try:
            while places:
                await self._passed()
                mark = self._watch.now()
                await self._stored({tasks[place].run for place in places})
                for place, answer in zip(places, await self._verifier.wanted([tasks[place] for place in places]), strict=True):
                    answers[place], marks[place] = answer, mark
                places = [place for place, key in enumerate(keys) if answers[place] and self._watch.ended_since(key, marks[place])]
        finally:
            self._watch.end(keys)
        return answers

    def still(self, task: Task) -> Callable[[], Awaitable[bool]]:
        """Asks once more when it is called."""

        async def ask() -> bool:
            return (await self.wanted([task]))[0]

        return ask

    def in_turn(
        self, found: list[Ready], in_slot: Callable[[Ready], bool], join: Callable[[Ready], None], again: Callable[[list[Task]], None]
    ) -> Iterator[Ready]:
        """Wanted tasks, for the lane: those that may be executed when their turn comes. Of others what is in a slot is to be joined,
        and those that ended since this call are to be asked about again."""
        keys = [key_of(task) for task, _, _ in found]
        self._watch.begin(keys)
        return self._in_turn(list(zip(keys, found, strict=True)), self._watch.now(), in_slot, join, again)

    def _in_turn(
        self,
        found: list[tuple[Key, Ready]],
        mark: int,
        in_slot: Callable[[Ready], bool],
        join: Callable[[Ready], None],
        again: Callable[[list[Task]], None],
    ) -> Iterator[Ready]:
        ended = []
        for key, ready in found:
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
