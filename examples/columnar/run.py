"""A folder of CSV files as one table, on a fleet: what came of it, whether it is right, and what did not have to be copied.

    python examples/columnar/run.py [--files 24] [--rows 80000] [--folder DIR] [--workers 2]

Starts a server, a coordinator, a reader and workers on free ports with a temporary folder, runs `trips.yaml` on files that it writes
(trips.py), does the same in plain pyarrow, and stops everything at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from jetfleet.broker import Client
from jetfleet.broker.observe import logs
from jetfleet.broker.server.monitor import ask
from jetfleet.workers.up.child import Child
from jetfleet.workers.up.fleet import FleetSettings, LocalFleet

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import trips
    from pyarrow import csv
except ImportError as error:
    sys.exit(f"error: this example needs {error.name}: pip install 'jetfleet[arrow]'")

HERE = Path(__file__).parent
FLOW, NODES = HERE / "trips.yaml", HERE / "nodes.py"
RUN_S = 300
METRICS_S = 30
MIB = 1 << 20


async def main(options: argparse.Namespace, folder: Path) -> int:
    logs.configure("error")
    files = await asyncio.to_thread(trips.write, folder, options.files, options.rows)
    report = folder / "report.csv"
    say(f"{len(files)} files, {sum(file.stat().st_size for file in files) / MIB:.0f} MiB of CSV in {folder}")
    async with (
        LocalFleet(FleetSettings(data=None, port=0, workers=0, log_level="error")) as fleet,
        Workers(fleet, options.workers) as workers,
    ):
        await fleet.client.deploy(FLOW, nodes=[str(NODES)])
        before = await through_the_server(fleet)
        began = time.perf_counter()
        result = await run(fleet.client, folder, report)
        took_s = time.perf_counter() - began
        server_bytes = await through_the_server(fleet) - before
        moved = await workers.moved()
    if not result.completed:
        sys.exit(f"error: the run is {result.status}: {result.error}")
    say(f"{result.status} in {took_s:.1f} s, the workers' start included: {result.output}\n")
    say(f"  {moved['written'] / MIB:9.1f} MiB written into the arena, once each")
    say(f"  {moved['handed_out'] / MIB:9.1f} MiB handed to nodes as they lie there: so much was not copied")
    say(f"  {server_bytes / MIB:9.1f} MiB in and out of the server, with everything that the processes say to each other\n")
    return compare(report, straight(files))


async def run(client: Client, folder: Path, report: Path) -> Any:
    handle = await client.start("trips", {"folder": str(folder), "report": str(report)})
    return await handle.result(RUN_S)


# --- workers whose counters can be read


class Workers:
    """An async context manager: workers of a fleet, each with its metrics on a port of this machine."""

    def __init__(self, fleet: LocalFleet, count: int) -> None:
        self._ports = [free_port() for _ in range(count)]
        options = ("--nodes", str(NODES), "--data", str(fleet.server.data), "--log-level", "error")
        environment = {"JETFLEET_NATS": fleet.server.url}
        self._children = [
            Child(f"worker-{number}", ("worker", *options, "--metrics-port", str(port)), environment)
            for number, port in enumerate(self._ports, start=1)
        ]

    async def __aenter__(self) -> Workers:
        for child in self._children:
            await child.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    async def moved(self) -> Counter[str]:
        """Bytes of values, by what was done with them, of all workers together."""
        pages = [await asyncio.to_thread(metrics, port) for port in self._ports]
        moved: Counter[str] = Counter()
        for line in "\n".join(pages).splitlines():
            if line.startswith("jetfleet_payload_"):
                name, _, value = line.partition(" ")
                moved[name.removeprefix("jetfleet_payload_").removesuffix("_bytes_total")] += int(float(value))
        return moved


def metrics(port: int) -> str:
    """Those of a worker, which may be starting still: where there is little to do the others have done it by then."""
    ends_at = time.monotonic() + METRICS_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def through_the_server(fleet: LocalFleet) -> int:
    """Bytes of messages that clients have sent to the server and got from it."""
    said = await ask(fleet.server.monitor_url, "/varz")
    return int(said["in_bytes"]) + int(said["out_bytes"])


# --- is it right?


def straight(files: list[Path]) -> pa.Table:
    """The report in plain pyarrow: one process, one table, no jetfleet."""
    table = pa.concat_tables([csv.read_csv(file) for file in files])
    table = table.filter((pc.field("length_m") > 0) & (pc.field("fare_cents") > 0))
    table = table.append_column("day", pc.cast(table["pickup"], pa.date32()))
    table = table.append_column("cents_per_km", pc.divide(pc.multiply(table["fare_cents"], 1_000), table["length_m"]))
    grouped = table.group_by(["day", "zone"]).aggregate(
        [
            ("fare_cents", "sum"),
            ("tip_cents", "sum"),
            ("length_m", "sum"),
            ("taxi", "count"),
            ("taxi", "count_distinct"),
            ("cents_per_km", "max"),
        ]
    )
    named = grouped.rename_columns(["day", "zone", "fare_cents", "tip_cents", "length_m", "trips", "taxis", "cents_per_km_max"])
    return named.combine_chunks().sort_by([("day", "ascending"), ("zone", "ascending")])


def compare(report: Path, expected: pa.Table) -> int:
    """0 if the file says the same as the table."""
    right = csv.read_csv(report).to_pylist() == expected.to_pylist()
    say(f"{report}: {expected.num_rows} rows, " + ("the same as in plain pyarrow" if right else "NOT what plain pyarrow says"))
    return 0 if right else 1


def say(text: str) -> None:
    print(text, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A folder of CSV files as one table, on a fleet.")
    parser.add_argument("--files", type=int, default=trips.FILES, metavar="N", help="so many files, one per hour")
    parser.add_argument("--rows", type=int, default=trips.ROWS, metavar="N", help="so many trips in each")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where they lie, and stay; default: a temporary folder")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="jetfleet-trips-") as temporary:
        sys.exit(asyncio.run(main(options, options.folder or Path(temporary))))
