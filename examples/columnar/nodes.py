"""The nodes of trips.yaml: tables in, tables out.

What a node returns is written once, into the arena of the host. The next node gets the same columns where they lie: nothing is copied, and
nothing of it goes through the server. That is none of the nodes' business: they are functions on tables, and can be called as such.

All of them may be executed again for the same input: `idempotent=True`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from jetfleet.workers import Permanent, node

KEYS = ["day", "zone"]
SUMS = ["fare_cents", "tip_cents", "length_m", "trips"]


@node("trips.list", idempotent=True)
def list_files(event: dict[str, Any]) -> dict[str, Any]:
    """The files of a folder. As texts: a `Path` would stand for the file's bytes."""
    folder = Path(event["folder"])
    files = sorted(str(file) for file in folder.glob("trips-*.csv"))
    if not files:
        raise Permanent(f"there are no files trips-*.csv in {folder}", type="no_files")
    return {"files": files}


@node("trips.read", idempotent=True)
def read(file: Path) -> pa.Table:
    return csv.read_csv(file)


@node("trips.clean", idempotent=True)
def clean(trips: pa.Table) -> pa.Table:
    """Without the trips that cannot be, and with what the others are grouped by."""
    real = trips.filter(pc.and_(pc.greater(trips["length_m"], 0), pc.greater(trips["fare_cents"], 0)))
    real = real.append_column("day", pc.cast(real["pickup"], pa.date32()))
    return real.append_column("cents_per_km", pc.divide(pc.multiply(real["fare_cents"], 1_000), real["length_m"]))


@node("trips.by_zone", idempotent=True)
def by_zone(trips: pa.Table) -> pa.Table:
    """Sums of one file. Sums of sums are sums, so nobody needs to look at the trips again for them."""
    sums = trips.group_by(KEYS).aggregate([("fare_cents", "sum"), ("tip_cents", "sum"), ("length_m", "sum"), ("taxi", "count")])
    return sums.rename_columns([*KEYS, *SUMS])


@node("trips.aggregate", idempotent=True)
def aggregate(joined: dict[str, list[Any]]) -> pa.Table:
    """By day and zone: sums from the sums of the files; how many taxis there were takes all the trips, in one table of many pieces."""
    sums = pa.concat_tables(joined["by_zone"]).group_by(KEYS).aggregate([(name, "sum") for name in SUMS])
    trips = pa.concat_tables(joined["clean"]).group_by(KEYS).aggregate([("taxi", "count_distinct"), ("cents_per_km", "max")])
    report = sums.rename_columns([*KEYS, *SUMS]).join(trips.rename_columns([*KEYS, "taxis", "cents_per_km_max"]), KEYS)
    return report.combine_chunks().sort_by([(key, "ascending") for key in KEYS])


@node("trips.write", idempotent=True)
def write(report: pa.Table, config: dict[str, Any]) -> Path:
    """The report as a file. Its `Path` takes its bytes along, to whichever worker is next."""
    file = Path(config["report"])
    part = file.with_suffix(".part")
    csv.write_csv(report, part)
    return part.rename(file)  # a second attempt does not write into a file that somebody reads


@node("trips.sum_up", idempotent=True)
def sum_up(report: Path) -> dict[str, Any]:
    """What the run is to say of the report."""
    table = csv.read_csv(report)
    best = table.sort_by([("fare_cents", "descending")]).slice(0, 1).to_pylist()[0]
    return {
        "rows": table.num_rows,
        "trips": pc.sum(table["trips"]).as_py(),
        "best": {"day": str(best["day"]), "zone": best["zone"], "fare_cents": best["fare_cents"]},
    }
