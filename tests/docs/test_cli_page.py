"""The page about the command line lists what the commands have: options, defaults, exit codes, the keys of a result."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from jetfleet.schemas.cli import FAILED, INTERNAL, INTERRUPTED, INVALID, USAGE, jetfleet, main

from .tables import DOCS, NOTHING

ROOT = DOCS.parent
PAGE = (DOCS / "cli.md").read_text()
COMMANDS = sorted(jetfleet.list_commands(click.Context(jetfleet)))


def listed(command: str) -> dict[str, str]:
    """Option → default, as the page has it."""
    table = PAGE.partition(f"<!-- options: {command} -->\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("| `")]
    return {names.replace("`", ""): default.strip("`") for names, default in rows}


def options(command: str) -> dict[str, str]:
    """Option → default, as the command has it."""
    found = jetfleet.get_command(click.Context(jetfleet), command)
    assert found is not None
    return {", ".join(each.opts): default(each) for each in found.params if isinstance(each, click.Option)}


def default(option: click.Option) -> str:
    return str(option.default) if option.show_default else NOTHING


def test_every_command_has_its_list_of_options() -> None:
    assert sorted(re.findall(r"<!-- options: (\w+) -->", PAGE)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_are_those_that_it_takes(command: str) -> None:
    assert listed(command) == options(command)


def test_the_exit_codes_are_those_of_the_command() -> None:
    table = PAGE.partition("## Exit codes")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [0, FAILED, USAGE, INVALID, INTERNAL, INTERRUPTED]


def keys(result: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The keys of a result, and those of its first node."""
    return list(result), list(next(iter(result["nodes"].values())))


def test_a_result_has_the_keys_that_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0])
    assert main(["run", str(ROOT / "examples" / "loop.yaml"), "--local", "-o", "json", "--input", '{"grains": 3}']) == 0
    assert keys(json.loads(capsys.readouterr().out)) == keys(shown)


def test_an_error_has_the_keys_that_the_page_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = tmp_path / "fails.yaml"
    flow.write_text("name: fails\nnodes: {a: {type: std::raise, config: {type: no, message: never}}}\n")
    assert main(["run", str(flow), "--local", "-o", "json"]) == FAILED
    listed = re.findall(r"null, or `\{(.*?)\}`", PAGE)[0].split(", ")
    assert list(json.loads(capsys.readouterr().out)["error"]) == listed
