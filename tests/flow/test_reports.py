"""Findings for people and for programs: the same problems in four formats."""

from __future__ import annotations

import json

from jetfleet.schemas.flow.problems import Problem
from jetfleet.schemas.source.report import Report, as_github, as_json, as_sarif, as_text

ERROR = Problem("UNKNOWN_KEY", "unknown key `nodez`", ("nodez",), "did you mean `nodes`?", file="flows/a.yaml", line=2, column=1)
WARNING = Problem("NO_TRIGGER", "100% manual:\nno trigger", (), "", "warning", "flows/a b,c.yaml", 1, 1)
REPORT = Report(("flows/a.yaml", "flows/a b,c.yaml"), (ERROR, WARNING))
FINE = Report(("flows/a.yaml",), ())


def test_text_names_place_code_and_remedy_and_sums_up() -> None:
    assert as_text(REPORT).splitlines() == [
        "flows/a.yaml:2:1: error UNKNOWN_KEY: unknown key `nodez`",
        "    hint: did you mean `nodes`?",
        "flows/a b,c.yaml:1:1: warning NO_TRIGGER: 100% manual:",
        "no trigger",
        "2 files, not valid: 1 error, 1 warning",
    ]
    assert as_text(FINE) == "1 file, valid"


def test_json_is_one_object_for_all_files() -> None:
    assert json.loads(as_json(REPORT)) == {
        "valid": False,
        "errors": [
            {
                "file": "flows/a.yaml",
                "line": 2,
                "column": 1,
                "code": "UNKNOWN_KEY",
                "message": "unknown key `nodez`",
                "hint": "did you mean `nodes`?",
            }
        ],
        "warnings": [
            {"file": "flows/a b,c.yaml", "line": 1, "column": 1, "code": "NO_TRIGGER", "message": "100% manual:\nno trigger", "hint": ""}
        ],
    }
    assert json.loads(as_json(FINE)) == {"valid": True, "errors": [], "warnings": []}


def test_warnings_alone_leave_a_report_valid() -> None:
    assert Report(("f",), (WARNING,)).valid


def test_github_annotations_escape_what_would_end_them() -> None:
    assert as_github(REPORT).splitlines() == [
        "::error file=flows/a.yaml,line=2,col=1,title=UNKNOWN_KEY::unknown key `nodez` (did you mean `nodes`?)",
        "::warning file=flows/a b%2Cc.yaml,line=1,col=1,title=NO_TRIGGER::100%25 manual:%0Ano trigger",
    ]
    assert as_github(FINE) == ""


def test_sarif_has_rules_results_and_regions() -> None:
    log = json.loads(as_sarif(REPORT))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["name"] == "jetfleet"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["UNKNOWN_KEY", "NO_TRIGGER"]
    assert [(result["ruleId"], result["ruleIndex"], result["level"]) for result in run["results"]] == [
        ("UNKNOWN_KEY", 0, "error"),
        ("NO_TRIGGER", 1, "warning"),
    ]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places[0] == {"artifactLocation": {"uri": "flows/a.yaml"}, "region": {"startLine": 2, "startColumn": 1}}
    assert places[1]["artifactLocation"]["uri"] == "flows/a%20b%2Cc.yaml"
    assert json.loads(as_sarif(FINE))["runs"][0]["results"] == []
