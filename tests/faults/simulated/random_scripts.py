"""Scripts by chance for conformance: what jetfleet does to streams and consumers, in an order that nobody thought of.

Every operation is done on both servers, and after each both must show the same stream and the same consumers. Words are few, so that
operations meet: the same subjects, the same ids, sequences near the end, acknowledgements of what is long gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from .conformance import Pair, Side

STREAMS: tuple[dict[str, Any], ...] = (
    {},
    {"retention": "workqueue", "discard": "new"},
    {"storage": "memory", "retention": "workqueue", "discard": "new", "max_bytes": 4_000},
    {"max_msgs_per_subject": 1, "discard": "new", "allow_msg_ttl": True},
    {"discard": "old", "max_msgs": 9, "storage": "memory", "max_msgs_per_subject": 1},
    {"allow_rollup_hdrs": True, "discard": "new", "max_bytes": 3_000},
    {"allow_atomic": True, "discard": "new", "max_msgs": 12, "first_seq": 1_000},
    {"retention": "workqueue", "allow_msg_schedules": True, "allow_msg_ttl": True},
)
"""As the streams of a deployment."""
NAMES = ("a.1", "a.2", "a.b.3", "c")
FILTERS: dict[str, tuple[str, ...]] = {"x": ("a.*",), "y": ("c", "a.b.>"), "z": ()}
"""Of the consumers, which in a work queue must not share a message."""
WORDS = (b"+ACK", b"+ACK", b"+ACK", b"-NAK", b"+WPI", b"+TERM", b'-NAK {"delay": 10000000000}')
Step = Callable[[], Awaitable[object]]


class Play:
    """One script."""

    def __init__(self, pair: Pair, chance: Random) -> None:
        self._pair, self._chance = pair, chance
        self._config = dict(chance.choice(STREAMS))
        self._consumers: dict[str, dict[str, Any]] = {}
        self._steps: tuple[Step, ...] = (
            *(self._publish,) * 6, *(self._publish_expecting,) * 2, self._batch, *(self._pull,) * 5, *(self._acknowledge,) * 6,
            *(self._make_consumer,) * 2, self._drop_consumer, self._purge, self._delete, self._read, self._change,
        )  # fmt: skip

    async def run(self, steps: int) -> None:
        await self._both(lambda side: side.create(**self._config), f"create {self._config}")
        for _ in range(steps):
            await self._chance.choice(self._steps)()
            await self._pair.alike(lambda side: side.info(">"), "state of the stream")
            for name in self._consumers:
                await self._pair.alike(lambda side, name=name: side.consumer_info(name), f"state of consumer {name}")

    async def _both(self, operation: Callable[[Side], Awaitable[Any]], what: str) -> Any:
        return await self._pair.same(operation, what)

    # --- steps

    async def _publish(self) -> None:
        name, data = self._chance.choice(NAMES), bytes(self._chance.choice((0, 3, 400)))
        headers: dict[str, str] = {}
        if self._chance.random() < 0.5:
            headers["Nats_Msg_Id"] = f"id{self._chance.randrange(6)}"
        if self._chance.random() < 0.1:
            headers["Nats_Rollup"] = self._chance.choice(("sub", "all"))
        if self._chance.random() < 0.1:
            headers["Nats_TTL"] = "1000s"
        await self._both(lambda side: side.publish(name, data, **headers), f"publish {name} {len(data)} {headers}")

    async def _publish_expecting(self) -> None:
        name = self._chance.choice(NAMES)
        last = await self._pair.same(lambda side: side.message(last_by_subj=name), f"last of {name}")
        seq = last.get("seq", 0) + self._chance.choice((0, 0, 0, 1, -1))
        headers = {"Nats_Expected_Last_Subject_Sequence": str(max(seq, 0)), "Nats_Msg_Id": f"id{self._chance.randrange(6)}"}
        await self._both(lambda side: side.publish(name, b"cas", **headers), f"publish {name} {headers}")

    async def _batch(self) -> None:
        parts = []
        for _ in range(self._chance.randint(2, 5)):
            headers = {"Nats-Msg-Id": f"id{self._chance.randrange(20)}"} if self._chance.random() < 0.7 else {}
            parts.append((self._chance.choice(NAMES), b"batch", headers))
        await self._both(lambda side: side.batch(*parts), f"batch {parts}")

    async def _make_consumer(self) -> None:
        name = self._chance.choice(list(FILTERS))
        config: dict[str, Any] = {"ack_policy": "explicit", "ack_wait": 100 * 10**9, "max_ack_pending": self._chance.choice((3, 1_000))}
        if self._chance.random() < 0.25:
            config = {"ack_policy": "none", "mem_storage": True}
        if self._chance.random() < 0.3:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._chance.randint(1, 12)}
        answer = await self._both(lambda side: side.consumer(name, *FILTERS[name], **config), f"consumer {name} {config}")
        if "error" not in answer:
            self._consumers[name] = config

    async def _drop_consumer(self) -> None:
        name = self._chance.choice(list(FILTERS))
        await self._both(lambda side: side.delete_consumer(name), f"drop consumer {name}")
        self._consumers.pop(name, None)

    async def _pull(self) -> None:
        if self._consumers:
            name, batch = self._chance.choice(list(self._consumers)), self._chance.randint(1, 5)
            question = {"no_wait": True} if self._is_free(name) else {"expires": 10**8}
            await self._both(lambda side: side.pull(name, batch, **question), f"pull {batch} of {name} {question}")

    def _is_free(self, name: str) -> bool:
        """Whether it is sure to answer: one that may give no more messages lets those who do not want to wait wait."""
        return self._consumers[name].get("max_ack_pending") != 3

    async def _acknowledge(self) -> None:
        held = len(self._pair.real.held)
        if held:
            place, word = self._chance.randrange(max(0, held - 6), held), self._chance.choice(WORDS)
            facts = ".".join(self._pair.real.held[place].reply.split(".")[3:])
            if self._pair.real.held[place].consumer in self._consumers:
                await self._both(lambda side: side.acknowledge(place, word), f"acknowledge {word!r} {facts}")

    async def _purge(self) -> None:
        state = await self._pair.alike(lambda side: side.info())
        near = max(state["last_seq"] - self._chance.randint(-1, 8), 1)
        question = self._chance.choice(
            ({"seq": near}, {"filter": "a.*"}, {"filter": "c", "seq": near}, {"keep": 3}, {"filter": "a.1", "keep": 1})
        )
        await self._both(lambda side: side.purge(**question), f"purge {question}")

    async def _delete(self) -> None:
        state = await self._pair.alike(lambda side: side.info())
        seq = max(state["last_seq"] - self._chance.randint(-1, 8), 1)
        await self._both(lambda side: side.delete(seq), f"delete {seq}")

    async def _read(self) -> None:
        state = await self._pair.alike(lambda side: side.info())
        seq = self._chance.randint(1, state["last_seq"] + 1)
        name = self._chance.choice((*NAMES, "a.>", ">", "*.2"))
        question = {"next_by_subj": name, "seq": seq, "batch": self._chance.randint(1, 20), "max_bytes": self._chance.choice((100, 10_000))}
        await self._both(lambda side: side.direct(**question), f"read {question}")
        await self._both(lambda side: side.direct(multi_last=[name], batch=7), f"last of each {name}")
        await self._both(lambda side: side.message(last_by_subj=name), f"last {name}")
        await self._both(lambda side: side.message(seq=seq, next_by_subj=name), f"next {name} from {seq}")

    async def _change(self) -> None:
        config = {**self._config, "max_msgs": self._chance.choice((-1, 6, 15))}
        config.pop("first_seq", None)
        await self._both(lambda side: side.update(**config), f"update {config}")
