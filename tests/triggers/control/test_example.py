"""The example of a program with a trigger of its own runs against a fleet, and the page about triggers shows it as it is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ...fleet.fleets import fleet
from ...fleet.running import run

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "examples" / "embedded_trigger.py"


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


def test_the_page_shows_it_as_it_is() -> None:
    main = SCRIPT.read_text().partition("import sys\n\n")[2]
    assert (
        f"```python\nimport asyncio\n\n{main.replace('main(*sys.argv[1:])', 'main()')}```\n" in (ROOT / "docs" / "triggers.md").read_text()
    )
