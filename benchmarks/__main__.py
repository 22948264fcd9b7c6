"""`python -m benchmarks NAME [--json]`: runs one benchmark and prints its figures. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jetfleet.broker.observe import logs
from jetfleet.schemas.errors import JetfleetError

from .processes import BenchmarkFailed

BENCHMARKS = ("bare", "chain", "engine", "fanout", "pauses", "payload", "recovery", "triggers", "waiting")
"""Each a module with `measure(scale)`; imported when asked for, since only some of them need a server."""
OWN_OPTIONS = {
    "huge": ("recovery",), "uvloop": ("engine",), "profile": ("engine",), "arena": ("payload",), "sizes": ("payload",),
    "runs": ("payload", "waiting"), "only": ("triggers",), "full": ("waiting",),
}  # fmt: skip
"""The options that not every benchmark has."""
MEASURES = ("huge", "arena", "sizes", "runs", "only", "full")
"""Those that its `measure` takes."""
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures jetfleet on this machine.")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for trying out, not for quoting")
    parser.add_argument("--huge", action="store_true", help="recovery: a million waiting runs instead of 100,000")
    parser.add_argument("--uvloop", action="store_true", help="engine: on uvloop instead of asyncio's own loop")
    parser.add_argument("--profile", action="store_true", help="engine: where the time goes, a profile of the main case")
    parser.add_argument(
        "--arena", type=Path, metavar="DIR", help="payload: where the arenas are made; default: /dev/shm where there is one"
    )
    parser.add_argument("--sizes", type=_sizes, metavar="SIZE,…", help="payload: of these sizes, like 1KiB,16MiB")
    parser.add_argument(
        "--runs", type=int, metavar="N", help="payload: so many of each size, a quarter of that above 16 MiB; waiting: so many that wait"
    )
    parser.add_argument("--full", action="store_true", help="waiting: a million runs instead of 100,000")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="TYPE,…", help="triggers: of these types, like memory,webhook")
    options = parser.parse_args()
    _refuse_misplaced(parser, options)
    logs.configure("error")
    benchmark = importlib.import_module(f"benchmarks.{options.name}")
    if options.uvloop:
        import uvloop

        uvloop.install()
    if options.profile:
        benchmark.profile()
        return 0
    try:
        own = {option: value for option in MEASURES if (value := getattr(options, option))}
        figures = benchmark.measure(0.1 if options.quick else 1.0, **own)
    except (BenchmarkFailed, JetfleetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _print(figures, as_json=options.json)
    return 0


def _refuse_misplaced(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    for option, names in OWN_OPTIONS.items():
        if getattr(options, option) and options.name not in names:
            parser.error(f"--{option} is an option of the benchmark {' and of '.join(names)}")


def _sizes(text: str) -> list[int]:
    found = [re.fullmatch(r"([1-9][0-9]*)(KiB|MiB|GiB)", word) for word in text.split(",")]
    if None in found:
        raise argparse.ArgumentTypeError(f"{text!r} are no sizes; write them like 64KiB,16MiB,1GiB")
    return sorted(int(size[1]) * UNITS[size[2]] for size in found if size)


def _print(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in _rows(figures):
        if isinstance(value, list):
            print(f"\n{name}\n{_table(value)}\n")
        else:
            print(f"{name:44} {value}")


def _rows(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _rows(value, f"{prefix}{name}.")
        elif value != []:
            yield f"{prefix}{name}", value


def _table(cases: list[dict[str, Any]]) -> str:
    """Cases as columns, since they have more figures than there is room for in a line."""
    names = list(cases[0])
    cells = [[name, *(str(case[name]) for case in cases)] for name in names]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(_aligned(cell, width, number) for number, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in cells
    )


def _aligned(cell: str, width: int, column: int) -> str:
    return f"  {cell:<{width}}" if column == 0 else f"{cell:>{width}}"


if __name__ == "__main__":
    sys.exit(main())
