"""The command's shell: where commands come from, and what a user sees when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from jetfleet.schemas.cli import GROUP, CommandGroup, main

PLUGIN = """
import click
from jetfleet.schemas.errors import EventRejected, InvalidFlow, UsageError
from jetfleet.schemas.flow.problems import Problem

@click.command()
@click.argument("how")
def end(how):
    match how:
        case "well": click.echo("done")
        case "three": return 3
        case "rejected": raise EventRejected("amount is missing\\nat /amount")
        case "usage": raise UsageError("which trigger? name one")
        case "invalid": raise InvalidFlow([Problem("CYCLE", "a and b run in a circle", file="f.yaml", line=3, column=5, hint="mark it")])
        case "defect": raise ZeroDivisionError("division by zero")
        case "interrupt": raise KeyboardInterrupt

commands = {"end": "plugin_that_works:end", "broken": "plugin_that_is_broken:command"}
"""

BROKEN = "raise RuntimeError('no such library')"


@pytest.fixture
def jetfleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command with the plug-ins that the named modules hold."""
    (tmp_path / "plugin_that_works.py").write_text(PLUGIN)
    (tmp_path / "plugin_that_is_broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*args: str, plugins: tuple[str, ...] = ("plugin_that_works",)) -> int:
        points = [EntryPoint(name, f"{name}:commands", GROUP) for name in plugins]
        return main(args, CommandGroup(points, name="jetfleet"))

    return run


def test_a_command_that_ends_well_exits_with_0(jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert jetfleet("end", "well") == 0
    assert capsys.readouterr() == ("done\n", "")


def test_the_number_that_a_command_returns_is_its_exit_code(jetfleet: Callable[..., int]) -> None:
    assert jetfleet("end", "three") == 3


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("rejected", 1, "error: EVENT_REJECTED amount is missing at /amount\n"),
        ("usage", 2, "error: USAGE which trigger? name one\n"),
        ("invalid", 5, "error: f.yaml:3:5 CYCLE a and b run in a circle\n    hint: mark it\n"),
        ("interrupt", 130, "\n"),
    ],
)
def test_an_expected_error_is_its_code_and_message_and_no_traceback(
    jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str], how: str, code: int, line: str
) -> None:
    assert jetfleet("end", how) == code
    assert capsys.readouterr() == ("", line)


def test_a_defect_says_how_to_see_its_traceback(jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert jetfleet("end", "defect") == 70
    said = capsys.readouterr().err
    assert said.startswith("error: INTERNAL ZeroDivisionError: division by zero")
    assert "JETFLEET_DEBUG=1" in said
    assert "Traceback" not in said


def test_debugging_shows_the_traceback_of_a_defect(
    jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JETFLEET_DEBUG", "1")
    assert jetfleet("end", "defect") == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_broken_plug_in_is_reported_and_the_others_still_work(jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert jetfleet("end", "well", plugins=("plugin_that_is_broken", "plugin_that_works")) == 0
    out, err = capsys.readouterr()
    assert out == "done\n"
    assert err.startswith("warning: COMMANDS the commands of 'plugin_that_is_broken'")


def test_a_broken_command_is_reported_and_the_others_of_its_plug_in_still_work(
    jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert jetfleet("end", "well") == 0
    assert capsys.readouterr().err == ""
    assert jetfleet("broken") == 2
    assert "warning: COMMANDS the command 'broken'" in capsys.readouterr().err


def test_a_plug_in_is_not_loaded_when_its_command_is_not_asked_for(
    jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert jetfleet("end", "well", plugins=("plugin_that_works", "plugin_that_is_broken")) == 0
    assert capsys.readouterr().err == ""


def test_an_unknown_command_is_a_usage_error_that_suggests_the_right_one(
    jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert jetfleet("ned") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: USAGE")
    assert "end" in said


def test_a_missing_argument_points_at_the_help_of_that_command(jetfleet: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert jetfleet("end") == 2
    assert capsys.readouterr().err == "error: USAGE Missing argument 'HOW'.\nhint: jetfleet end --help lists what can be said here\n"


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jetfleet {version('jetfleet')}\n"


def test_help_lists_the_commands_of_every_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for command in ("validate", "schema", "graph", "nodes", "run"):
        assert f"\n  {command} " in out


def test_validating_does_not_load_what_runs_nodes() -> None:
    script = "import sys; from jetfleet.schemas.cli import main; main(['validate', '--help']); print('jetfleet.workers' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.endswith("False\n")


def test_a_reader_that_goes_away_leaves_no_noise() -> None:
    # The pipe's reading end is closed before the command starts, so that its first write fails.
    command = [sys.executable, "-c", "import sys; from jetfleet.schemas.cli import main; input(); sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
