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


def test_an_audit_without_a_tool_or_network_says_that_it_was_not_done(tmp_path: Path) -> None:
    """Nobody may take silence for a clean bill."""
    nothing = {"PATH": os.environ["PATH"], "AUDIT": str(tmp_path / "no-such-tool")}
    done = subprocess.run([ROOT / ".ci/audit"], env=nothing, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "not audited" in done.stderr and "pip-audit" in done.stderr
    (tmp_path / "offline").write_text("#!/bin/sh\necho 'ConnectionError: no route to host' >&2\nexit 1\n")
    (tmp_path / "offline").chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci/audit"], env={**nothing, "AUDIT": str(tmp_path / "offline")}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2 and "not audited" in done.stderr and "no route" in done.stderr
    (tmp_path / "finds").write_text("#!/bin/sh\necho 'Found 1 known vulnerability in 1 package'\nexit 1\n")
    (tmp_path / "finds").chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci/audit"], env={**nothing, "AUDIT": str(tmp_path / "finds")}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1 and "known vulnerability" in done.stdout
