"""A whole fleet for a few seconds: a thousand orders come in as plain JSON from a bare NATS client, and become runs.

    python examples/demo.py          (or: make demo)

Starts a server, a coordinator, a reader and two workers on a free port with a temporary folder, deploys `order_processing.yaml`, and
stops everything at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from bare_client import publish
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from jetfleet.broker import Client
from jetfleet.broker.observe import logs
from jetfleet.workers.up.fleet import FleetSettings, LocalFleet

HERE = Path(__file__).parent
FLOW = "order_processing"
SUBJECT = f"events.{FLOW}.api"
PATIENCE_S = 60.0
console = Console(highlight=False, soft_wrap=True)


async def demo() -> None:
    logs.configure("error")
    orders = [line for line in (HERE / "orders.jsonl").read_bytes().splitlines() if line.strip()]
    console.print("[bold]A fleet comes up[/]: a server, a coordinator, a reader, two workers")
    began = time.perf_counter()
    async with LocalFleet(FleetSettings(data=None, port=0, workers=2, log_level="error")) as fleet:
        console.print("\n".join(f"  {name:<12} pid {pid}" for name, pid in processes(fleet)))
        flow = await fleet.client.deploy(HERE / f"{FLOW}.yaml")
        console.print(f"  up in {time.perf_counter() - began:.1f} s at {fleet.server.url}; deployed {flow.name} {flow.version}\n")
        began = time.perf_counter()
        publishing = asyncio.create_task(asyncio.to_thread(publish, fleet.server.url, SUBJECT, orders))
        counts = await watch(fleet.client, len(orders))
        took_s = time.perf_counter() - began
        console.print(
            f"[bold]{await publishing:,} orders[/] as JSON on {SUBJECT}, by a bare NATS client: plain sockets, nothing of jetfleet"
        )
        await summary(fleet.client, counts, took_s)
    console.print(
        "\nEverything is stopped again. Your turn:  . .venv/bin/activate && jetfleet up examples/order_processing.yaml --ephemeral"
    )


def processes(fleet: LocalFleet) -> Iterator[tuple[str, int | None]]:
    yield "server", fleet.server.pid
    yield from ((child.name, child.pid) for child in fleet.children)


async def watch(client: Client, total: int) -> dict[str, int]:
    """Follow the counts of the read model until all runs have ended; how many there are in each status."""
    deadline = time.monotonic() + PATIENCE_S
    with Progress(TextColumn("  runs ended"), BarColumn(), MofNCompleteColumn(), console=console, transient=True) as progress:
        task = progress.add_task("runs", total=total)
        while True:
            counts = next((count.statuses for count in await client.flow_counts() if count.flow == FLOW), {})
            ended = sum(count for status, count in counts.items() if status not in ("running", "paused"))
            progress.update(task, completed=ended)
            if ended >= total:
                return dict(counts)
            if time.monotonic() > deadline:
                raise SystemExit(f"only {ended:,} of {total:,} runs have ended after {PATIENCE_S:g} s")
            await asyncio.sleep(0.05)


async def summary(client: Client, counts: dict[str, int], took_s: float) -> None:
    runs = sum(counts.values())
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()) if count)
    console.print(f"{statuses} in {took_s:.2f} s: {runs / took_s:,.0f} runs/s, each record on disk before it counted\n")
    table = Table(title="the ten slowest", title_justify="left", box=None, pad_edge=False)
    for name in ("run", "status", "took", "records"):
        table.add_column(name.upper(), justify="right" if name in ("took", "records") else "left")
    for row in (await client.runs(flow=FLOW, order="-duration", limit=10)).rows:
        table.add_row(row.id, row.status, f"{row.duration_ms} ms", str(row.records))
    console.print(table)


if __name__ == "__main__":
    asyncio.run(demo())
