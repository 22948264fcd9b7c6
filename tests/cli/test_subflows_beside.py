"""`jetfleet run` looks for sub-flows beside the flow, and says before anything runs when it cannot tell which one is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.cli import main

PARENT = "name: parent\nnodes: {c: {type: std::subflow, config: {flow: child}}}\n"
CHILD = "name: child\nnodes: {a: {type: std::set, config: {values: done}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parent.yaml").write_text(PARENT)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What the command says when it refuses to run the parent; nothing may have run by then."""
    assert main(["run", "parent.yaml", "--local"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["run", "parent.yaml", "--local", "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)["output"]


def test_a_name_that_two_files_define_is_refused_with_both(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(CHILD)
    (folder / "b.yaml").write_text(CHILD.replace("done", "other"))
    said = refusal(capsys, 2)
    assert "several files define the flow 'child'" in said
    assert "a.yaml, b.yaml" in said


def test_a_name_that_two_files_define_does_no_harm_where_nothing_uses_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "child.yaml").write_text(CHILD)
    for file in ("a.yaml", "b.yaml"):
        (folder / file).write_text(CHILD.replace("child", "unused"))
    assert output(capsys) == "done"


def test_an_unknown_sub_flow_is_refused_with_those_that_are_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.yaml").write_text(CHILD.replace("child", "chidl"))
    said = refusal(capsys, 2)
    assert "no flow is called 'child'" in said
    assert "chidl, parent" in said


def test_a_sub_flow_of_a_sub_flow_has_to_be_known_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "child.yaml").write_text(PARENT.replace("child", "grandchild").replace("parent", "child"))
    assert "no flow is called 'grandchild'" in refusal(capsys, 2)


def test_a_sub_flow_that_is_not_valid_is_refused_at_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "child.yaml").write_text(CHILD.replace("std::set", "std::st"))
    assert "child.yaml:2" in refusal(capsys, 5)


def test_flows_may_start_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "child.yaml").write_text(
        "name: child\nnodes: {again: {type: std::switch, config: {expression: 'false'}}, c: {type: std::subflow, config: {flow: parent}}}\nedges: [{from: again.true, to: c}]\n"
    )
    assert output(capsys) is None


def test_a_flow_may_start_itself_under_any_file_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = "name: self\nnodes: {again: {type: std::switch, config: {expression: 'false'}}, c: {type: std::subflow, config: {flow: self}}}\nedges: [{from: again.true, to: c}]\n"
    (folder / "self.flow").write_text(flow)
    assert main(["run", "self.flow", "--local", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "completed"
