"""Hunt for what a decoder does not refuse as it should; from the project's root.

python -m tests.faults.fuzz                          the targets
python -m tests.faults.fuzz "message Task"           cases of it for a minute; what is found is kept in found/, where a test replays it
python -m tests.faults.fuzz all --for 60s            each of them for so long
python -m tests.faults.fuzz record --atheris         cases chosen by what of the decoder they reach
python -m tests.faults.fuzz record --seed 500000     from this seed on
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from difflib import get_close_matches

import structlog

from ..arguments import seconds, whole
from .hunt import Defect, guided, keep, seeded
from .target import Target
from .targets import TARGETS

AT_ONCE = 500


def main() -> int:
    """0: nothing was found."""
    asked = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.target is None:
        print("\n".join(TARGETS))
        return 0
    names = list(TARGETS) if asked.target == "all" else [asked.target]
    if asked.atheris:
        return max(guided(TARGETS[name], asked.seconds) for name in names)
    return max(_hunted(TARGETS[name], asked.seed, asked.seconds) for name in names)


def _hunted(target: Target, seed: int, for_s: float) -> int:
    begun, cases = time.monotonic(), 0
    found: dict[str, Defect] = {}
    while time.monotonic() < begun + for_s:
        for defect in seeded(target, seed + cases, AT_ONCE):
            found.setdefault(f"{type(defect.error).__name__}: {defect.error}"[:60], defect)
        cases += AT_ONCE
    took_s = time.monotonic() - begun
    print(
        f"{target.name}: {cases:,} cases, {cases / took_s:,.0f} a second, seeds {seed} to {seed + cases - 1}, {len(found)} defects",
        flush=True,
    )
    for defect in found.values():
        print(f"  {keep(defect).name}: {defect}")
    return bool(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description="hunt for what a decoder does not refuse as it should")
    parser.add_argument("target", nargs="?", help="a name, or `all`; without any they are listed")
    parser.add_argument("--for", dest="seconds", default="60s", type=seconds, metavar="TIME", help="for so long: 60s, 20m, 2h")
    parser.add_argument("--seed", default=0, type=whole, help="go on from this seed")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage; needs the package atheris")
    asked = parser.parse_args()
    if asked.target not in (None, "all", *TARGETS):
        near = get_close_matches(asked.target, TARGETS)
        parser.error(
            f"no target {asked.target!r}{': is it ' + ' or '.join(map(repr, near)) + '?' if near else ''}; without any they are listed"
        )
    return asked


if __name__ == "__main__":
    sys.exit(main())
