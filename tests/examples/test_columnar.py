"""The example with tables: its script runs as it stands, on a few small files, and its report is that of plain pyarrow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from jetfleet.schemas.source.loader import load_flow
from jetfleet.workers import Registry

ROOT = Path(__file__).parents[2]
COLUMNAR = ROOT / "examples" / "columnar"
FILES, ROWS = 4, 20_000
RUN_S = 100
MIB = 1 << 20


def script(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COLUMNAR / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=RUN_S, env={**os.environ, **(environment or {})})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("trips")
    done = script("--files", str(FILES), "--rows", str(ROWS), "--folder", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_flow_is_valid_without_a_warning() -> None:
    registry = Registry()
    registry.load(str(COLUMNAR / "nodes.py"))
    assert load_flow(COLUMNAR / "trips.yaml", registry.node_types()).problems == ()


def test_the_report_is_the_same_as_in_plain_pyarrow(shown: str) -> None:
    assert "completed in" in shown
    assert "the same as in plain pyarrow" in shown


def test_the_tables_are_handed_over_and_do_not_go_through_the_server(shown: str) -> None:
    written, handed_out, server = (float(number) for number in re.findall(r"^ +([0-9.]+) MiB", shown, re.MULTILINE))
    assert written > FILES
    assert handed_out > written, "the cleaned tables have two readers"
    assert server < written / 4


def test_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        subprocess.run(
            [sys.executable, str(COLUMNAR / "trips.py"), str(folder), "2", "100"], check=True, capture_output=True, timeout=RUN_S
        )
    one, other = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert one == other
    assert len(one) == 2


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n")
    done = script(environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.strip() == "error: this example needs pyarrow: pip install 'jetfleet[arrow]'"
