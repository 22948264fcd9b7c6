"""Atheris on one target, as a process: `python -m tests.faults.fuzz.guided TARGET SECONDS CORPUS`. `--atheris` starts it.

The Python code of jetfleet is instrumented as it is imported, so that a case which reaches a new line is kept and changed further.
"""

from __future__ import annotations

import logging
import sys

import atheris
import structlog

DECODERS = [
    "jetfleet.schemas.codec", "jetfleet.schemas.messages", "jetfleet.schemas.payload", "jetfleet.schemas.ref", "jetfleet.schemas.selectors", "jetfleet.schemas.expressions",
    "jetfleet.schemas.conditions", "jetfleet.schemas.source", "jetfleet.schemas.flow.cron", "jetfleet.broker.content", "jetfleet.broker.codecs", "jetfleet.broker.read_model.search",
    "jetfleet.broker.read_model.fields", "jetfleet.broker.engine.snapshot", "jetfleet.broker.transfer.reading", "jetfleet.broker.arena.layout", "jetfleet.broker.client.message",
    "jetfleet.triggers.webhook",
]  # fmt: skip
"""The modules that read bytes: to instrument all of jetfleet takes a minute."""


def main() -> None:
    name, seconds, corpus = sys.argv[1:4]
    with atheris.instrument_imports(include=DECODERS):
        from .hunt import keep, tried
        from .targets import TARGETS
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = TARGETS[name]

    def one(data: bytes) -> None:
        defect = tried(target, data)
        if defect is not None:
            print(f"{keep(defect).name}: {defect}", flush=True)
            raise defect.error

    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-rss_limit_mb=2048",
        "-timeout=20",
        "-print_final_stats=1",
        "-verbosity=0",
        "-artifact_prefix=/tmp/",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
