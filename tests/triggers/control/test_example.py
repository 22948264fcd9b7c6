"""The programs on the page about triggers are short, and run as they stand there: with a trigger of their own, and serving those of others."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from jetfleet.triggers.webhook.source import LISTEN

from ...fleet.fleets import NODES, fleet
from ...fleet.running import run

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "examples" / "embedded_trigger.py"
SERVING, FIRING = re.findall(r"```python\n(import asyncio.*?)```", (ROOT / "docs" / "triggers.md").read_text(), re.DOTALL)
LINES_MAX = 10


def test_a_program_fires_its_own_trigger(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(SCRIPT.with_suffix(".yaml"))
            for _ in range(2):  # the key is the same: the run is the same, also when another process fires it
                program = await asyncio.create_subprocess_exec(
                    sys.executable, str(SCRIPT), fresh_url, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
                )
                assert (await program.communicate())[0].decode() == "completed {'page': '/home', 'click': 1}\n"
            await one.quiet()
            assert len(one.log.begun) == 1

    run(test(), 40)


def test_a_program_serves_triggers_of_any_type(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LISTEN, "127.0.0.1:0")
    types = ("webhook", "cron", "filesystem", "queue", "manual", "memory")
    params: dict[str, Any] = {"cron": {"schedule": "@daily"}, "filesystem": {"path": str(tmp_path)}}
    flow = {
        "name": "f",
        "triggers": [{"id": type, "type": type, "params": params.get(type, {})} for type in types],
        "nodes": {"seen": {"type": "f.echo"}},
        "edges": [{"from": type, "to": "seen"} for type in types],
    }
    program = re.sub(r"types=\(.*?\)", f"types={types}", SERVING).replace("Client.connect()", f"Client.connect({fresh_url!r})")

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await one.client.deploy(flow, nodes=[NODES])
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=tmp_path)
            try:
                while [each.state for view in await one.client.triggers("f") for each in view.served.values()] != ["listening"] * len(
                    types
                ):
                    await asyncio.sleep(0.1)
            finally:
                child.kill()
                await child.wait()

    run(test(), 40)


def test_the_programs_are_short_and_the_page_shows_the_example_as_it_is() -> None:
    main = SCRIPT.read_text().partition("import sys\n\n")[2]
    assert f"import asyncio\n\n{main.replace('main(*sys.argv[1:])', 'main()')}" == FIRING
    for program in (SERVING, FIRING):
        assert len([line for line in program.splitlines() if line]) <= LINES_MAX
