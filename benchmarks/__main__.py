"""`python -m benchmarks NAME [--json]`: runs one benchmark and prints its figures. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import sys

from . import engine

BENCHMARKS = {"engine": engine}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures jetfleet on this machine.")
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for trying out, not for quoting")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop instead of asyncio's own loop")
    parser.add_argument("--profile", action="store_true", help="where the time goes: a profile of the main case")
    options = parser.parse_args()
    benchmark = BENCHMARKS[options.name]
    if options.uvloop:
        import uvloop

        uvloop.install()
    if options.profile:
        benchmark.profile()
        return 0
    figures = benchmark.measure(0.1 if options.quick else 1.0)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:36} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
