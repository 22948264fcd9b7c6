"""`jetfleet validate` and `jetfleet schema` as a user meets them: exit codes, formats, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jetfleet.schemas.cli import main

VALID = "name: f\ntriggers: {t: {type: manual}}\nnodes: {a: {type: std::log}}\nedges: [{from: t, to: a}]\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10))

BAD = {
    "unknown_key": ("name: f\nnodez: {}\n", "UNKNOWN_KEY"),
    "unknown_node_type": ("name: f\nnodes: {a: {type: std::nope}}\n", "INVALID_NODE_TYPE"),
    "unknown_port": ("name: f\nnodes: {a: {type: std::log}, b: {type: std::log}}\nedges: [{from: a.left, to: b}]\n", "UNKNOWN_PORT"),
    "edge_to_nowhere": ("name: f\nnodes: {a: {type: std::log}}\nedges: [{from: a, to: b}]\n", "INVALID_REFERENCE"),
    "cycle": ("name: f\nnodes: {a: {type: std::log}, b: {type: std::log}}\nedges: [{from: a, to: b}, {from: b, to: a}]\n", "CYCLE"),
    "duplicate_id": ("name: f\ntriggers: {a: {type: manual}}\nnodes: {a: {type: std::log}}\n", "DUPLICATE_ID"),
    "wrong_type": ("name: f\nversion: 1.0\n", "INVALID_TYPE"),
    "missing_config": ("name: f\nnodes: {a: {type: std::switch}}\n", "MISSING_FIELD"),
    "bad_selector": ("name: f\nnodes: {a: {type: std::log, config: {message: '${b.c}'}}}\n", "INVALID_SELECTOR"),
    "bad_cron": ("name: f\ntriggers: {a: {type: cron, params: {schedule: '* *'}}}\n", "INVALID_CRON"),
    "tabs": ("name: f\nnodes:\n\ta: {type: std::log}\n", "TABS"),
    "bomb": (BOMB, "ALIAS_BOMB"),
    "ten_megabytes": ("name: " + "x" * 10_500_000, "LIMIT_EXCEEDED"),
    "nested": ("name: " + "[" * 200 + "]" * 200, "LIMIT_EXCEEDED"),
    "empty": ("", "EMPTY_FILE"),
    "unclosed": ("name: [unclosed", "SYNTAX"),
}


def run(*args: str | Path) -> int:
    return main(["validate", *map(str, args)])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_ends_with_5_and_says_what_where_and_why(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, code = BAD[name]
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    assert run(file, "--format", "json") == 5
    found = json.loads(capsys.readouterr().out)
    assert not found["valid"]
    assert code in {error["code"] for error in found["errors"]}
    assert all(error["file"] == str(file) and error["line"] >= 1 and error["column"] >= 1 and error["message"] for error in found["errors"])


def test_a_binary_file_ends_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "image.yaml"
    file.write_bytes(bytes(range(256)) * 4)
    assert run(file) == 5
    assert "NOT_TEXT" in capsys.readouterr().out


def test_a_valid_file_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(VALID)
    assert run(file) == 0
    assert capsys.readouterr().out == "1 file, valid\n"


def test_a_missing_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "missing.yaml") == 2
    assert "missing.yaml" in capsys.readouterr().err


def test_a_folder_means_all_definitions_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "good.yaml").write_text(VALID)
    (tmp_path / "deep" / "bad.json").write_text('{"name": "f", "foo": 1}')
    (tmp_path / ".hidden" / "bad.yaml").write_text("{")
    (tmp_path / "notes.txt").write_text("{")
    assert run(tmp_path, "--format", "json") == 5
    assert [error["code"] for error in json.loads(capsys.readouterr().out)["errors"]] == ["UNKNOWN_KEY"]


def test_a_folder_without_definitions_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert "holds no" in capsys.readouterr().err


def test_warnings_alone_end_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("name: f\n")
    assert run(file) == 0
    assert "EMPTY_FLOW" in capsys.readouterr().out


def test_a_flow_without_triggers_is_fine_until_it_is_to_be_deployed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("name: f\nnodes: {a: {type: std::log}}\n")
    assert run(file) == 0
    assert capsys.readouterr().out == "1 file, valid\n"
    assert run(file, "--deploy") == 5
    assert "f.yaml:1:1: error NO_TRIGGER" in capsys.readouterr().out


def test_a_node_that_nothing_leads_to_is_an_error_before_a_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(VALID.replace("a: {type: std::log}", "a: {type: std::log}, b: {type: std::log}"))
    assert run(file) == 0
    assert "warning ORPHANED_NODE" in capsys.readouterr().out
    assert run(file, "--deploy") == 5
    assert "error ORPHANED_NODE" in capsys.readouterr().out


def test_a_valid_flow_is_ready_for_deployment(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(VALID)
    assert run(file, "--deploy") == 0


def test_the_report_says_when_the_graph_could_not_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    for text, said in (("name: f\nedges: 3\n", True), ("name: f\nnodez: 3\n", False), ("name: [\n", True)):
        file.write_text(text)
        assert run(file) == 5
        assert ("fix these first" in capsys.readouterr().out) is said


@pytest.mark.parametrize(("format", "sign"), [("text", "error UNKNOWN_KEY"), ("github", "::error file="), ("sarif", '"2.1.0"')])
def test_every_format_is_served(format: str, sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("name: f\nfoo: 1\n")
    assert run(file, "--format", format) == 5
    assert sign in capsys.readouterr().out


def test_the_installed_command_prints_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(BOMB)
    done = subprocess.run([Path(sys.executable).with_name("jetfleet"), "validate", file], capture_output=True, text=True)
    assert done.returncode == 5
    assert "ALIAS_BOMB" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_schema_prints_the_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "jetfleet flow"
