"""The quickstart of the README on a fleet: the two commands in its header, with a free port, print what the README says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "examples/fleet_quickstart.py"
README = (ROOT / "README.md").read_text()
STOP_S = 30


@contextmanager
def fleet(command: str, log: Path) -> Iterator[str]:
    """What `jetfleet up` shows once it is up; afterwards it is stopped in order."""
    program, *args = shlex.split(command)
    assert program == "jetfleet"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "jetfleet.schemas", *args, "--port", "0"], stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        )  # fmt: skip
    assert process.stdout is not None
    try:
        screen = ""
        for line in process.stdout:  # it ends by itself if the fleet does not come up
            screen += line
            if line.startswith("Ctrl-C"):
                break
        yield screen
    finally:
        process.terminate()
        process.wait(STOP_S)
        process.stdout.close()


def test_the_fleet_quickstart_prints_what_the_readme_says(tmp_path: Path) -> None:
    source = (ROOT / SCRIPT).read_text()
    command = re.findall(r"^    (jetfleet up .*)$", source, re.MULTILINE)[0]
    with fleet(command, tmp_path / "log") as screen:
        url = re.search(r"nats://\S+", screen)
        assert url is not None, (tmp_path / "log").read_text()
        done = subprocess.run([sys.executable, SCRIPT, url[0]], capture_output=True, text=True, cwd=ROOT, timeout=STOP_S)
    assert done.returncode == 0, done.stderr
    assert f"```\n{done.stdout}```\n" in README


@pytest.mark.parametrize("what", ["script", "command"])
def test_the_readme_shows_the_fleet_quickstart_as_it_is(what: str) -> None:
    source = (ROOT / SCRIPT).read_text()
    shown = {"script": f"```python\n{source}```\n", "command": f"```\n{source.splitlines()[2].strip()}\n```\n"}
    assert shown[what] in README
