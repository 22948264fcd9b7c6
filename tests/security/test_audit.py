"""No product code executes data or trusts strangers, and what it depends on is pinned. What ruff sees of this is in pyproject.toml."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from .forbidden import forbidden

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "broker", "workers", "triggers")
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
ALLOWED = {
    "broker/codecs/pickled.py": {"import pickle"},  # values as pickles: off unless JETFLEET_PICKLE switches them on
    "broker/arena/copying.py": {"import pickle"},  # PickleBuffer, which views memory; nothing is pickled
    "workers/processes.py": {"import pickle"},  # whether a job can go to a child of ours; nothing from outside is read
    "workers/fleet/reload.py": {"compile()"},  # whether a node file is whole before it is loaded
    "triggers/filesystem/inotify.py": {"ctypes.CDLL"},  # the C library of this process, for what Python has no call for
    "triggers/filesystem/move.py": {"ctypes.CDLL"},  # the same
    "broker/kafka.py": {"check_hostname ="},  # `verify_hostname` of a cluster's own settings
}
"""By file: what it may do, and why."""
BOUNDARIES = (
    "schemas/codec.py", "schemas/messages.py", "schemas/payload.py", "schemas/ref.py", "broker/tokens.py", "broker/credentials.py",
    "broker/codecs", "broker/arena", "broker/transfer/reading.py", "triggers/calls.py", "triggers/webhook/request.py",
    "triggers/webhook/content.py", "triggers/webhook/multipart.py", "triggers/webhook/signatures.py", "triggers/webhook/credentials.py",
    "triggers/webhook/protocol.py", "broker/observe/metrics_server.py",
)  # fmt: skip
"""Where bytes of others are read. An assert is no check there: `python -O` leaves it out."""


def named(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_product_code_neither_executes_data_nor_trusts_strangers() -> None:
    found = {named(file): {each.partition(": ")[2] for each in forbidden(file.read_text())} for file in SOURCES}
    assert {name: whats for name, whats in found.items() if whats} == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import marshal as m", "eval(text)", "exec(text)", "__import__(name)",
        "os.system(line)", "from os import popen", "subprocess.run(line, shell=True)", "yaml.load(text)", "yaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load", "tempfile.mktemp()", "ssl._create_unverified_context()", "context.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False", "session.get(url, verify_ssl=False)", "np.load(file, allow_pickle=True)",
    ],
)  # fmt: skip
def test_each_of_them_would_be_found(source: str) -> None:
    assert list(forbidden(source))


@pytest.mark.parametrize(
    "source", ["re.compile(text)", "yaml.safe_load(text)", "subprocess.run(words)", "model.eval()", "from .pickle import x"]
)
def test_what_is_harmless_is_not(source: str) -> None:
    assert not list(forbidden(source))


def test_where_bytes_of_others_are_read_nothing_is_checked_by_assert() -> None:
    files = [file for place in BOUNDARIES for file in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))]
    assert len(files) > 30
    asserts = [
        f"{named(file)}:{node.lineno}" for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_everything_that_is_installed_is_pinned_and_comes_from_wherever_pip_is_told() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert pins and all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    for file in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/setup", ".ci/lock", ".ci/audit"):
        assert not re.search(r"index-url|https?://|trusted-host", (ROOT / file).read_text()), file


@pytest.mark.parametrize(
    ("tool", "code", "said"),
    [
        (None, 2, "not audited: there is no"),
        ("echo 'ConnectionError: no route to host' >&2; exit 1", 2, "not audited: ConnectionError: no route"),
        (
            """echo '{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}'""",
            2,
            "not audited: 1 of 2",
        ),
        ("""echo '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}'; exit 1""", 1, "a 1: CVE-1"),
        ("""echo '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'""", 0, "none of 1 pins"),
    ],
    ids=["no tool", "no network", "not in the index", "vulnerable", "clean"],
)
def test_nobody_may_take_an_audit_that_was_not_done_for_a_clean_bill(tmp_path: Path, tool: str | None, code: int, said: str) -> None:
    path = tmp_path / "tool"
    if tool is not None:
        path.write_text(f"#!/bin/sh\n{tool}\n")
        path.chmod(0o755)
    done = subprocess.run([ROOT / ".ci/audit"], env={**os.environ, "AUDIT": str(path)}, capture_output=True, text=True, timeout=30)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done
