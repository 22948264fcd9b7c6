"""A terminal session, recorded: the whole life of a run, from its start to a fork of it that ends well, as `docs/session.md`.

    python docs/session.py

Every command on the page is executed, on a fleet that this script starts and stops, and what it printed is what stands there. Nothing is
written by hand but the sentences between. A test plays it again and compares, with ids of workers, times and durations masked.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jetfleet.schemas.cli import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "session.md"
DEADLINE_S = 30
WIDTH = "110"

Call = Callable[[list[str]], tuple[int, str]]
"""Executes the arguments of `jetfleet`; its exit code, and all that it printed."""

HEAD = """# The life of a run, at a terminal

One run of `examples/refund.yaml` from its start to its end: it waits for a person, is approved, fails, and a fork of it with a mended
input ends well. The page was written by `docs/session.py`, which executes these commands on a fleet of its own; what they printed is what
stands here.
"""


def page(call: Call) -> str:
    """The whole page. Raises AssertionError where a command does not say what the story needs."""
    teller = Teller(call)
    for paragraph in story(teller):
        teller.lines.append(paragraph)
    return HEAD + "\n" + "\n\n".join(teller.lines) + "\n"


def story(on: Teller) -> Iterator[str]:
    """The sentences, and the commands between them."""
    yield "In one terminal a fleet runs: `jetfleet up examples/refund.yaml --ephemeral`. In the other:"
    yield on.run("send", "refund", '{"order_id": "A-7", "amount": 250, "account": "none"}', "--id", "A-7")
    run = on.said.strip()
    yield "The amount is large, so the run waits for somebody. `runs list` says so of each open run:"
    yield on.run("runs", "list", "status = open", until="waits for the approval")
    yield "Why does it not move, and what would move it? The beginning of an id is enough where no other begins so:"
    yield on.run("runs", "show", run[:-6], until="waits: ")
    yield "That is the command:"
    yield on.run("runs", "approve", run, "refund-A-7", "--by", "ada", "--reason", "the parcel came back")
    yield on.run("runs", "result", run, code=1)
    yield "It failed. Which node, and what had happened before?"
    yield on.run("runs", "show", run)
    yield "The journal has every record that the run took in, and what each of them changed. The answer is in it, with who gave it:"
    yield on.run("runs", "history", run)
    yield "It has ended, so it takes nothing in any more. What makes no sense is said, and nothing is written:"
    yield on.run("runs", "cancel", run, code=1)
    yield (
        "To try it again as it is would lead to the same account. A fork is a new run that begins in the middle of another one:\n"
        "`large` and `approval` are kept, so nobody is asked again, and the account is another one:"
    )
    yield on.run("runs", "fork", run, "--from", "transfer", "--set", "trigger.account=DE02", "--id", "mended")
    fork = on.said.splitlines()[0].strip()
    yield on.run("runs", "result", fork)
    yield "Both are kept, the one that failed as it was:"
    yield on.run("runs", "list", "flow = refund", until="completed")
    yield (
        "The same verbs work on many runs at once: `jetfleet runs retry --where 'flow = refund and status = failed' --dry-run` counts\n"
        "them first. See [Many runs at once](runs.md#many-runs-at-once)."
    )


class Teller:
    """Executes commands and writes them down. `said`: what the last one printed."""

    def __init__(self, call: Call) -> None:
        self.lines: list[str] = []
        self.said = ""
        self._call = call

    def run(self, *args: str, code: int = 0, until: str = "") -> str:
        """The command and its output as a block. Executed again until its output holds `until`: things take their time."""
        end = time.monotonic() + DEADLINE_S
        while True:
            found, self.said = self._call(list(args))
            if found == code and until in self.said:
                break
            assert until and time.monotonic() < end, f"jetfleet {shlex.join(args)} ended with {found}:\n{self.said}"
        return f"```\n$ jetfleet {_shown(args)}\n{_tidy(self.said)}\n```"


def _shown(args: tuple[str, ...]) -> str:
    """As a person types it; ids and JSON in single quotes only where the shell needs them."""
    return " ".join(shlex.quote(arg) for arg in args)


def _tidy(text: str) -> str:
    """Names of workers hold the host's."""
    return re.sub(r"worker=\S+", "worker=worker-1", text).rstrip()


def masked(text: str) -> str:
    """What is the same in every session: without times, durations, sizes of columns."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d\.\d{3}", "<time>", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s|min|h)\b( \d+ (ms|s|min|h)\b)?", "<span>", text)
    text = re.sub(r"\((queue|work|backoff) <span>(, (work|backoff) <span>)*\)| +took=<span>", "", text)
    text = re.sub(r"\bid=[0-9a-f]{32}\b", "id=<random>", text)
    return re.sub(r"[ \t]+", " ", text)


def here(args: list[str]) -> tuple[int, str]:
    """Executed in this process; standard output and error as they come."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(args)
    return code, said.getvalue()


def record() -> None:
    """Write the page, on a fleet that lives as long as this."""
    os.chdir(ROOT)
    os.environ["COLUMNS"] = WIDTH
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "up.log", "w+") as log:
        command = [sys.executable, "-m", "jetfleet.schemas", "up", "examples/refund.yaml", "--data", folder, "--port", "0"]
        with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as up:
            try:
                os.environ["JETFLEET_NATS"] = _url(Path(folder) / "up.log")
                PAGE.write_text(page(here))
            finally:
                up.terminate()


def _url(log: Path) -> str:
    """Where the fleet's server listens, once it is ready."""
    end = time.monotonic() + DEADLINE_S
    while (found := re.search(r"nats://127\.0\.0\.1:\d+", log.read_text())) is None:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return found[0]


if __name__ == "__main__":
    record()
