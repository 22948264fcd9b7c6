"""What is installed is what stands in the repository: packages, modules and data files."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
TOPS = {folder: name for name, folder in SETUPTOOLS["package-dir"].items()}


def packages() -> list[str]:
    """The import names of all folders below our packages that hold Python files."""
    folders = {path.parent.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")}
    return sorted(name_of(folder) for folder in folders)


def modules() -> list[str]:
    files = [path.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")]
    return sorted(name_of(file.parent if file.stem == "__init__" else file.with_suffix("")) for file in files)


def name_of(path: Path) -> str:
    return ".".join([TOPS[path.parts[0]], *path.parts[1:]])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in a real wheel, built from a copy of the sources so that nothing is left behind in them; no network."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*TOPS, "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, check=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_every_package_folder_is_listed_for_the_wheel() -> None:
    assert sorted(SETUPTOOLS["packages"]) == packages()


def test_every_package_folder_has_an_init_file() -> None:
    for name in packages():
        assert importlib.import_module(name).__file__ is not None, f"{name} lacks __init__.py"


@pytest.mark.parametrize("name", modules())
def test_every_module_imports(name: str) -> None:
    importlib.import_module(name)


def test_the_wheel_holds_every_module(wheel: set[str]) -> None:
    built = {file for file in wheel if file.endswith(".py")}
    assert built == {f"jetfleet/{path.relative_to(ROOT).as_posix()}" for top in TOPS for path in (ROOT / top).rglob("*.py")}


def test_the_wheel_says_that_it_is_typed_and_carries_the_json_schema(wheel: set[str]) -> None:
    assert {f"jetfleet/{top}/py.typed" for top in TOPS} <= wheel
    assert "jetfleet/schemas/flow.schema.json" in wheel


def test_type_checkers_see_the_same_folders_as_the_interpreter() -> None:
    links = {link.name: link.resolve() for link in (ROOT / ".typing" / "jetfleet").iterdir()}
    assert links == {top: ROOT / top for top in TOPS}


def test_every_entry_point_leads_to_something() -> None:
    targets = [*PROJECT["project"]["scripts"].values(), *PROJECT["project"]["entry-points"]["jetfleet.commands"].values()]
    for target in targets:
        found = loaded(target)
        places = found.values() if isinstance(found, dict) else ()
        assert all(isinstance(loaded(place), click.Command) for place in places), target


def loaded(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_every_direct_dependency_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    asked = [*PROJECT["project"]["dependencies"], *chain(*PROJECT["project"]["optional-dependencies"].values())]
    names = {line.split(">=")[0].partition("[")[0].lower().replace("_", "-") for line in asked}
    missing = names - pinned - {"jetfleet"}
    assert not missing, "run `make lock`"
