"""The page of patterns and its examples belong together: all are listed, all are valid, and the command in each header runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jetfleet.schemas.cli import main
from jetfleet.schemas.source.loader import load_flow

from .stage import FLOWS, registry
from .test_examples import command_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "patterns.md"


def rows() -> list[str]:
    return [line for line in PAGE.read_text().splitlines() if re.match(r"\| *\d+ *\|", line)]


def test_the_page_lists_all_43_patterns_in_order() -> None:
    assert [int(row.split("|")[1]) for row in rows()] == list(range(1, 44))


def test_every_example_is_linked_and_every_link_leads_somewhere() -> None:
    links = {link for row in rows() for link in re.findall(r"\]\(([^)]+)\)", row)}
    assert {(PAGE.parent / link).resolve() for link in links} == set(FLOWS)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip())
def test_a_pattern_without_an_example_says_why(row: str) -> None:
    assert "](" in row or "not supported, because" in row


@pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)
def test_every_example_is_valid_without_warnings(flow: Path) -> None:
    assert load_flow(flow, registry().node_types()).problems == ()


@pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)
def test_the_command_in_the_header_runs(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(command_of(flow)) == 0
