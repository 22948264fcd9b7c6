"""The verifier: asks the owner of a run whether an attempt is still wanted.

It asks until it gets an answer: while a partition has no owner nobody knows, and executing on a guess could repeat what is done.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import structlog

from ...broker.client import BrokerError, Connection
from ...schemas import subjects
from ...schemas.messages import FAILURES, AttemptId, Task, encode_all

ANSWER_TIMEOUT_S = 2.0
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 1.0
"""Between two questions that nobody answers; it doubles. A take-over takes about as long as the longest."""
TOLD_AFTER_S = 5.0
"""Nobody answering is worth a line in the log after this long, and again each time it has been twice as long."""

_answers = msgspec.msgpack.Decoder(list[bool])


class Verifier:
    """Asks over the connection; knows only how many partitions there are."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self._connection = connection
        self._partitions = partitions

    async def wanted(self, tasks: Sequence[Task]) -> list[bool]:
        """For each task whether its attempt is still wanted. Waits as long as nobody knows."""
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, task in enumerate(tasks):
            places[subjects.partition_of(task.run, self._partitions)].append(place)
        answers = [False] * len(tasks)
        for partition, asked in places.items():
            for place, answer in zip(asked, await self._ask(partition, [tasks[place] for place in asked]), strict=True):
                answers[place] = answer
        return answers

    async def _ask(self, partition: int, tasks: Sequence[Task]) -> list[bool]:
        question = encode_all(AttemptId(task.run, task.activation, task.attempt) for task in tasks)
        pause_s, waited_s, told_s = PAUSE_MIN_S, 0.0, TOLD_AFTER_S
        while True:
            try:
                reply = await self._connection.request(subjects.verify(partition), question, timeout_s=ANSWER_TIMEOUT_S)
                answers = _answers.decode(reply.data)
                if len(answers) == len(tasks):
                    return answers
                why = f"{len(answers)} answers to {len(tasks)} questions"
            except (BrokerError, *FAILURES) as error:
                why = str(error)
            await asyncio.sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, PAUSE_MAX_S)
            if waited_s >= told_s:
                told_s *= 2
                _log().warning("no owner says whether repeated tasks are wanted", partition=partition, why=why)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("jetfleet.worker")
    return logger
