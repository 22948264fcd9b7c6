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


def found(path: str) -> click.Command:
    """The command with this path, such as `runs list`."""
    command: click.Command = jetfleet
    for name in path.split():
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), name)
        assert inner is not None, path
        command = inner
    return command


def paths() -> list[str]:
    """Of all commands that do something themselves."""
    tops = jetfleet.list_commands(click.Context(jetfleet))
    groups = {name: found(name) for name in tops}
    return sorted(
        path
        for name, command in groups.items()
        for path in ([f"{name} {inner}" for inner in command.commands] if isinstance(command, click.Group) else [])
        + ([name] if not isinstance(command, click.Group) or command.invoke_without_command else [])
    )


COMMANDS = paths()
GROUPS = ("of a client", "of a process", "of many runs")
"""Options that several commands share."""


def listed(command: str) -> dict[str, str]:
    """Option → default, as the page has it."""
    table = PAGE.partition(f"<!-- options: {command} -->\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("| `")]
    return {names.replace("`", ""): default.strip("`") for names, default in rows}


def options(command: str) -> dict[str, str]:
    """Option → default, as the command has it; those of a group that it has all of are listed once on the page, in the group's table."""
    every = {", ".join(each.opts): default(each) for each in found(command).params if isinstance(each, click.Option)}
    for group in map(listed, GROUPS):
        if group.items() <= every.items():
            every = {name: value for name, value in every.items() if name not in group}
    return every


def default(option: click.Option) -> str:
    return str(option.default) if option.show_default else NOTHING


def test_every_command_has_its_list_of_options() -> None:
    assert sorted(re.findall(r"<!-- options: ([\w ]+) -->", PAGE)) == sorted([*COMMANDS, *GROUPS])


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
