"""Problems for readers: people, programs, GitHub's checks, and whatever reads SARIF.

A report is about a number of files; every format says in its own way which of them are fine. Rendering has no effects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ..flow.problems import Problem


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in `files`, in the order of the files and of the positions in them.

    `unchecked` are the files whose errors kept their graph from being looked at, so that more errors may come to light.
    """

    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "warning"]

    @property
    def valid(self) -> bool:
        return not self.errors


def as_text(report: Report) -> str:
    """One problem after the other, then what could not be checked, and one line that sums up."""
    lines = [f"{_where(problem)}: {problem.severity} {problem.code}: {problem.message}{_hint(problem)}" for problem in report.problems]
    lines += [f"{file}: fix these first: names, ports, cycles and selectors were not checked" for file in report.unchecked]
    return "\n".join([*lines, _summary(report)])


def as_json(report: Report) -> str:
    """One object for all files: `{"valid", "errors", "warnings"}`."""
    return _dump({"valid": report.valid, "errors": [*map(_record, report.errors)], "warnings": [*map(_record, report.warnings)]})


def as_github(report: Report) -> str:
    """Workflow commands: GitHub shows them at the lines of a pull request. Nothing if nothing was found."""
    return "\n".join(map(_annotation, report.problems))


def as_sarif(report: Report) -> str:
    """A SARIF 2.1.0 log with one run."""
    codes = list(dict.fromkeys(problem.code for problem in report.problems))
    driver = {
        "name": "jetfleet",
        "version": version("jetfleet"),
        "rules": [{"id": code, "shortDescription": {"text": code.replace("_", " ").lower()}} for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, codes.index(problem.code)) for problem in report.problems],
    }
    return _dump({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


FORMATS: Mapping[str, Callable[[Report], str]] = {"text": as_text, "json": as_json, "github": as_github, "sarif": as_sarif}


def _record(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _where(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file or "flow"


def _hint(problem: Problem) -> str:
    return f"\n    hint: {problem.hint}" if problem.hint else ""


def _summary(report: Report) -> str:
    counts = [_count(len(report.errors), "error")] if report.errors else []
    counts += [_count(len(report.warnings), "warning")] if report.warnings else []
    verdict = "valid" if report.valid else "not valid"
    return f"{_count(len(report.files), 'file')}, {verdict}" + (f": {', '.join(counts)}" if counts else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _annotation(problem: Problem) -> str:
    message = problem.message + (f" ({problem.hint})" if problem.hint else "")
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column},title={problem.code}"
    return f"::{problem.severity} {place}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _result(problem: Problem, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(problem.file).as_posix())}}
    if problem.line:
        location["region"] = {"startLine": problem.line, "startColumn": problem.column}
    message = problem.message + (f". {problem.hint}" if problem.hint else "")
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": problem.severity,
        "message": {"text": message},
        "locations": [{"physicalLocation": location}],
    }


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
