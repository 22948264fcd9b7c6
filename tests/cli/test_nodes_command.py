"""`jetfleet nodes`: what it lists is what the compiler accepts and the workers serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.cli import main
from jetfleet.schemas.flow.node_types import NODE_TYPES, parse_config

SHOP = str(Path(__file__).parents[2] / "examples" / "shop.py")


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert main(["nodes", "-o", "json", *args]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_standard_type_is_listed_with_its_ports_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry["type"]: entry for entry in listed(capsys)}
    assert list(entries) == list(NODE_TYPES)
    assert entries["std::switch"]["ports"] == ["true", "false", "error"]
    assert all(entry["summary"] for entry in entries.values())


def test_the_engine_decides_control_nodes_and_workers_execute_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    for entry in listed(capsys):
        assert (entry["executed"] == "engine") == (entry["category"] == "control")


def test_own_nodes_are_listed_once_their_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    charge = next(entry for entry in listed(capsys, "--nodes", SHOP) if entry["type"] == "shop.charge")
    assert charge["summary"] == "Take the money."
    assert charge["executed"] == "async"
    assert charge["idempotent"] is True


@pytest.mark.parametrize("name", NODE_TYPES)
def test_the_keys_that_are_called_required_are_those_that_cannot_be_left_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry = NODE_TYPES[name]
    example = dict(entry.example)
    for key in listed(capsys, "--describe", name)["config"]:
        if key["required"]:
            without = {other: value for other, value in example.items() if other != key["name"]}
            with pytest.raises(ValueError):
                parse_config(entry, without)


def test_a_description_tells_defaults_and_other_names_of_ports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--describe", "std::loop"]) == 0
    page = capsys.readouterr().out
    assert "body means continue, done means exit" in page
    assert any(line.split() == ["max_iterations", "integer", "10"] for line in page.splitlines())


def test_an_alias_leads_to_the_type_that_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--describe", "std::http.request")["type"] == "std::http"


def test_an_unknown_type_is_a_usage_error_that_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--describe", "std::lop"]) == 2
    assert "did you mean std::loop?" in capsys.readouterr().err


def test_a_module_that_does_not_exist_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--nodes", "no_such_module_anywhere"]) == 2
    assert "no_such_module_anywhere" in capsys.readouterr().err


def test_the_table_has_one_line_for_each_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(NODE_TYPES) + 1]] == list(NODE_TYPES)
