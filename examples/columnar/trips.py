"""A folder of taxi trips to work on: one CSV file per hour, the same for the same numbers every time.

    python examples/columnar/trips.py FOLDER [FILES] [ROWS]

A few of the trips are wrong, as in real life: they have no length, or cost less than nothing.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

BEGIN = datetime(2026, 3, 6, 12)
FILES, ROWS = 24, 80_000
WRONG = 0.02
ZONES = (
    "Airport", "Bridges", "Castle", "Docks", "East End", "Fairground", "Gardens", "Harbour", "Island", "Junction",
    "Kilns", "Library", "Market", "North Gate", "Old Town", "Park",
)  # fmt: skip


def write(folder: Path, files: int = FILES, rows: int = ROWS) -> list[Path]:
    """Write so many files of so many trips each; a file that is there already stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    hours = [BEGIN + timedelta(hours=number) for number in range(files)]
    paths = [folder / f"trips-{hour:%Y-%m-%dT%H}.csv" for hour in hours]
    for number, (hour, path) in enumerate(zip(hours, paths, strict=True)):
        if not path.exists():
            part = path.with_suffix(".part")  # only whole files have the name that the flow looks for
            csv.write_csv(trips(hour, rows, seed=number), part)
            part.rename(path)
    return paths


def trips(hour: datetime, rows: int, seed: int) -> pa.Table:
    """The trips of one hour."""
    column = iter(range(seed * 100, seed * 100 + 100))  # each column has random numbers of its own

    def whole(below: float, least: int = 0) -> pa.Array:
        random = pc.random(rows, initializer=next(column))
        return pc.add(pc.cast(pc.floor(pc.multiply(random, below)), pa.int64()), least)

    length_m = pc.add(whole(9_000, 400), whole(9_000))
    fare_cents = pc.add(pc.divide(pc.multiply(length_m, 18), 100), whole(500, 250))
    length_m = pc.if_else(pc.less(pc.random(rows, initializer=next(column)), WRONG), 0, length_m)
    fare_cents = pc.if_else(pc.less(pc.random(rows, initializer=next(column)), WRONG), pc.negate(fare_cents), fare_cents)
    seconds = pc.cast(whole(3_600), pa.duration("s"))
    return pa.table(
        {
            "pickup": pc.add(pa.scalar(hour, pa.timestamp("s")), seconds),
            "zone": pa.array(ZONES).take(whole(len(ZONES))),
            "taxi": whole(1_500, 1),
            "passengers": whole(4, 1),
            "length_m": length_m,
            "fare_cents": fare_cents,
            "tip_cents": pc.multiply(whole(2), whole(600)),
        }
    )


if __name__ == "__main__":
    folder, *numbers = sys.argv[1:]
    print(*write(Path(folder), *map(int, numbers)), sep="\n")
