"""The publishers of `examples/publishers/`, made ready to run: each with its compiler, and with the library of NATS for its language.

A program whose tools or library cannot be had here is skipped, and the reason says which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PUBLISHERS = Path(__file__).parents[2] / "examples" / "publishers"
BUILD_S = 900
MISSING = 77
_OR_MISSING = f"|| exit {MISSING}"
"""Behind a command that fetches a library."""
PUBLISH_S = 60
OFFLINE = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GO111MODULE": "off"}
"""For those that have nothing but a socket: what a language does not bring along they do without."""


@dataclass(frozen=True, slots=True)
class Program:
    """`build`: commands, in a copy of its folder. `soak`: they take long. `{}` in a command is that copy."""

    language: str
    folder: str
    tool: str
    command: Sequence[str]
    build: Sequence[str] = ()
    source: str = ""
    soak: bool = False

    def ready(self, folder: Path) -> Publisher:
        """Skips the test if it cannot be made ready."""
        copy = folder / self.language
        if not copy.exists():
            shutil.copytree(PUBLISHERS / self.folder, copy)
        for command in self.build:
            done = subprocess.run(["sh", "-c", command], cwd=copy, capture_output=True, text=True, timeout=BUILD_S)
            if done.returncode == MISSING:
                pytest.skip(f"the client library of NATS for {self.language} cannot be had here: {done.stderr.strip()[-300:]}")
            assert done.returncode == 0, done.stdout + done.stderr
        return Publisher([word.replace("{}", str(copy)) for word in self.command], copy)


@dataclass(frozen=True, slots=True)
class Publisher:
    """A program that publishes."""

    command: Sequence[str]
    folder: Path

    def publish(self, server: str, to: str, key: str, event: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        words = [*self.command, server, to, key, event]
        environment = os.environ | settings
        return subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PUBLISH_S)


_NPM_INSTALL = f"npm install --no-audit --no-fund --fetch-retries=0 {_OR_MISSING}"

WITH_A_SOCKET = (
    Program("bash", "socket", "bash", ["bash", "publish.sh"]),
    Program("C", "socket", "cc", ["{}/publish"], ["cc -Wall -Wextra -Werror -o publish publish.c"]),
    Program("Go", "socket", "go", ["go", "run", "publish.go"]),
    Program("Java", "socket", "javac", ["java", "-cp", "out", "Publish"], ["javac -Xlint:all -Werror -d out Publish.java"]),
    Program("Node.js", "socket", "node", ["node", "publish.js"]),
    Program("Python", "socket", "python3", [sys.executable, "publish.py"]),
    Program("Rust", "socket", "rustc", ["{}/publish"], ["rustc -D warnings -o publish publish.rs"]),
)

WITH_A_LIBRARY = (
    Program(
        "C", "c", "cc", ["{}/publish"],
        [f"echo '#include <nats/nats.h>' | cc -E - >/dev/null {_OR_MISSING}", "cc -Wall -Wextra -Werror -o publish publish.c -lnats"],
        source="publish.c",
    ),
    Program(
        "Go", "go", "go", ["{}/publish"], [f"go mod download {_OR_MISSING}", "go vet .", "go build ."],
        source="publish.go", soak=True,
    ),
    Program(
        "Java", "java", "mvn", ["java", "-cp", "target/dependency/*:out", "Publish"],
        [f"mvn -q dependency:copy-dependencies {_OR_MISSING}", "javac -Xlint:all,-try -Werror -cp 'target/dependency/*' -d out Publish.java"],
        source="Publish.java", soak=True,
    ),
    Program("Node.js", "node", "npm", ["node", "publish.mjs"], [_NPM_INSTALL], source="publish.mjs"),
    Program("Python", "python", "python3", [sys.executable, "publish.py"], source="publish.py"),
    Program(
        "Rust", "rust", "cargo", ["{}/target/debug/publish"], [f"cargo fetch {_OR_MISSING}", "RUSTFLAGS='-D warnings' cargo build"],
        source="src/main.rs", soak=True,
    ),
)  # fmt: skip

LARGE = (Program("Node.js", "node", "npm", ["node", "large.mjs"], [_NPM_INSTALL]),)


def each(programs: Sequence[Program]) -> list[object]:
    """As parameters of a test."""
    return [pytest.param(program, id=program.language, marks=_marks(program)) for program in programs]


def _marks(program: Program) -> list[pytest.MarkDecorator]:
    missing = pytest.mark.skipif(shutil.which(program.tool) is None, reason=f"{program.tool} is missing")
    return [pytest.mark.part(f"publisher in {program.language}"), missing, *([pytest.mark.soak] if program.soak else [])]
