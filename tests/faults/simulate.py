"""The simulator: whole fleets, with their server, in one process and in no time. What chance did is known by its seed.

    python -m tests.faults.simulate --seed 4711              one seed, with what went wrong in it and what of that is wrong
    python -m tests.faults.simulate --seed 4711 --trace      and everything that the server did and processes said
    python -m tests.faults.simulate --seeds 1..2000 --jobs 2 many; failures with their seeds, and what was injected in all
    python -m tests.faults.simulate --for 2h                 as many as there is time for, from --seeds' first on
    python -m tests.faults.simulate --seeds 1..20 --calm     without faults: the control

Exit code 1: there were complaints. See `simulated/README.md`.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import arguments

HASHES = "0"
"""Sets of texts must be walked in the same order each time, so the interpreter is started with this seed of its own."""


def main(words: list[str]) -> int:
    options = _parser().parse_args(words)
    if options.jobs > 1 or options.for_s:
        from .simulated.campaign import run_many

        return run_many(options)
    if os.environ.get("PYTHONHASHSEED") != HASHES:
        os.execve(sys.executable, [sys.executable, "-m", "tests.faults.simulate", *words], {**os.environ, "PYTHONHASHSEED": HASHES})
    from .simulated import clock
    from .simulated.process import follow_files

    clock.install()  # before anything of jetfleet is imported
    follow_files()
    from .simulated.campaign import run_here

    return run_here(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulate", description=__doc__.split("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=arguments.seed, dest="seeds", metavar="N", help="one seed")
    which.add_argument("--seeds", type=arguments.seeds, dest="seeds", metavar="A..B", help="from A to B, both included")
    parser.set_defaults(seeds=range(1, 11))
    parser.add_argument("--calm", action="store_true", help="inject nothing: the control")
    parser.add_argument("--small", action="store_true", help="small worlds, of which three take as long as one")
    parser.add_argument("--trace", action="store_true", help="print what the server did and what processes said")
    parser.add_argument(
        "--broken",
        default="",
        metavar="NAME",
        help="break the code on purpose, as tests/faults/broken.py knows it; several with commas: each for all seeds",
    )
    parser.add_argument("--jobs", type=arguments.at_least_one, default=1, metavar="N", help="processes at a time")
    parser.add_argument("--for", type=arguments.seconds, default=0, dest="for_s", metavar="TIME", help="go on for so long: 90s, 20m, 2h")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="one JSON object per seed, instead of words")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
