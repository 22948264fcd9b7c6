"""A publisher: a program outside of the fleet that sends events at a given rate, and writes down what it was told.

    python -m tests.faults.publisher URL FOLDER --rate 40 --seed 1 [--hook 127.0.0.1:8080] [--flows f-chain,f-fan]

An event goes one of three ways: a bare publish with `Nats-Msg-Id`, jetfleet's client, a POST to a webhook. Its key is on disk before it
leaves, so a publisher that was killed knows what it does not know, and publishes that again with the same key when it is back. The ledger has:

    acked KEY RUN        a PubAck, a return of the client, a 202
    unknown KEY          no answer in time, or the publisher died before one came
    resolved KEY how     what is acknowledged after that was `repeated`

Runs that wait for a signal get one. SIGTERM ends it in order: nothing new, and everything acknowledged that was begun.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jetfleet.broker.api import Client
from jetfleet.broker.api.errors import RunEnded
from jetfleet.broker.client import BrokerError, Refused
from jetfleet.broker.waiting import SignalRejected
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import JetfleetError

from ..triggers.webhook.calling import post
from . import flows
from .ledger import Ledger

LEDGER = "ledger"
ANSWER_S = 1.0
"""How long a bare publish waits for its answer before it counts as unknown."""
AGAIN_S = 0.05
OPEN_MAX = 400
"""So many events without an answer, and no more are sent. A server that is away must not leave a heap behind."""
MIX = (flows.CHAIN, flows.FAN, flows.TIMED, flows.SIGNALLED, flows.PARENT)
KEY_HEADER = "Idempotency-Key"


class Notebook:
    """What the publisher is about to send, by lines of `word key`, and which signals were stored: its own memory over deaths."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.begun: dict[str, None] = {}
        self.signalled: set[str] = set()
        for line in file.read_text().split("\n")[:-1]:
            word, key = line.split(" ")
            self._remember(word, key)

    def write(self, word: str, key: str) -> None:
        os.write(self._file, f"{word} {key}\n".encode())
        self._remember(word, key)

    def _remember(self, word: str, key: str) -> None:
        if word == "begun":
            self.begun[key] = None
        else:
            self.signalled.add(key)


class Publisher:
    def __init__(self, client: Client, ledger: Ledger, notebook: Notebook, options: argparse.Namespace) -> None:
        self._client, self._ledger, self._notebook, self._options = client, ledger, notebook, options
        self._random = random.Random(options.seed + len(notebook.begun))
        self._open: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        self._take_up()
        for number in self._numbers():
            await self._pace()
            if self._ending.is_set():
                break
            key = f"{self._flow(number)}/{self._options.name}-{number}"
            self._notebook.write("begun", key)
            self._go(self._deliver(key, asked_before=False))
        while self._open:
            await asyncio.wait(self._open)

    def _take_up(self) -> None:
        """What a dead predecessor had begun, and nobody acknowledged."""
        account = self._ledger.account()
        runs = {fact.key: fact.run for fact in account.acked}
        open_unknown = {fact.key for fact in account.unknown} - {fact.key for fact in account.resolved}
        for key in self._notebook.begun:
            if key not in runs:
                if key not in open_unknown:
                    self._ledger.unknown(key)
                self._go(self._deliver(key, asked_before=True))
            elif key in open_unknown:  # it died between the two lines
                self._ledger.resolved(key, "repeated")
            if key in runs and key.startswith(flows.SIGNALLED) and key not in self._notebook.signalled:
                self._go(self._signal(key, runs[key]))

    def _numbers(self) -> Iterator[int]:
        number, last = len(self._notebook.begun), self._options.count
        while last is None or number < last:
            yield number
            number += 1

    async def _pace(self) -> None:
        """Until the next one is due, at random intervals around the rate."""
        while len(self._open) >= self._options.open and not self._ending.is_set():
            await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
        if self._options.rate:
            try:
                async with asyncio.timeout(self._random.uniform(0, 2 / self._options.rate)):
                    await self._ending.wait()
            except TimeoutError:
                pass

    def _flow(self, number: int) -> str:
        mix = [*self._options.flows.split(","), *([flows.HOOKED] if self._options.hook else [])]
        return mix[number % len(mix)]

    def _go(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not task.cancelled() and task.exception() is not None:
            print(f"publisher: {task.exception()!r}", file=sys.stderr, flush=True)
            os._exit(3)  # a publisher that lost track of an event must not look like one that is done

    async def _deliver(self, key: str, asked_before: bool) -> None:
        """Publish until somebody says that it is on disk, or that it will not be."""
        unknown = asked_before
        while True:
            try:
                run = await self._send(key)
                break
            except (JetfleetError, OSError, EOFError) as error:
                if isinstance(error, Refused) and not error.passing:
                    self._refused(key, error, unknown)
                    return
                if not unknown:
                    self._ledger.unknown(key)
                    unknown = True
                await asyncio.sleep(AGAIN_S)
        self._ledger.acked(key, run)
        if unknown:
            self._ledger.resolved(key, "repeated")
        if key.startswith(flows.SIGNALLED):
            await self._signal(key, run)

    def _refused(self, key: str, error: Refused, unknown: bool) -> None:
        self._ledger.refused(key, error.code)
        if unknown:
            self._ledger.resolved(key, "absent")

    async def _send(self, key: str) -> str:
        flow, _, name = key.partition("/")
        number = int(name.rpartition("-")[2])
        value = flows.payload(number)
        if flow == flows.HOOKED:
            return await self._post(key, value)
        if number % 2:
            return await self._client.send(flow, value, id=key)
        body = msgspec.json.encode(value)
        await self._client.connection.publisher.publish(subjects.event(flow, "go"), body, id=key, deadline_s=ANSWER_S)
        return subjects.run_id(flow, key)

    async def _post(self, key: str, value: Any) -> str:
        host, _, port = self._options.hook.rpartition(":")
        async with asyncio.timeout(10 * ANSWER_S):
            answer = await post((host, int(port)), flows.HOOK_PATH, value, [(KEY_HEADER, key)])
        if answer.status != 202:
            raise OSError(f"{answer.status} of the webhook")
        return str(answer.value["run"])

    async def _signal(self, key: str, run: str) -> None:
        while True:
            try:
                await self._client.signal(run, flows.SIGNAL, key, id=key)
                break
            except (RunEnded, SignalRejected):  # it had its signal: the answer was lost
                break
            except BrokerError:
                await asyncio.sleep(AGAIN_S)
        self._notebook.write("signalled", key)


async def _publish(options: argparse.Namespace) -> None:
    ledger = Ledger(options.folder / LEDGER, fsync=False)
    notebook = Notebook(options.folder / f"{options.name}.begun")
    client = await _connected(options.url)
    async with client:
        await Publisher(client, ledger, notebook, options).run()


async def _connected(url: str) -> Client:
    while True:
        try:
            return await Client.connect(url, name="publisher")
        except BrokerError:
            await asyncio.sleep(AGAIN_S)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="publisher-0")
    parser.add_argument("--rate", type=float, default=0, help="events per second on average; 0: as fast as it goes")
    parser.add_argument("--count", type=int, help="so many in all, over all lives")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--open", type=int, default=OPEN_MAX, help="so many without an answer at most")
    parser.add_argument("--hook", default="")
    parser.add_argument("--flows", default=",".join(MIX))
    asyncio.run(_publish(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
