"""An operator accepts that the server has lost something, as the documentation says how; and the fleet has to go on with what is left."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from jetfleet.schemas import subjects
from jetfleet.schemas.errors import JetfleetError

from ..fleet.children import Child, order
from . import flows
from .world import COORDINATOR, World

DOCTOR_S, WORKS_S = 30, 40


async def doctor(one: World, *options: str) -> str:
    """What `jetfleet doctor` says, where the coordinators' data is."""
    log = one.folder / "doctor.log"
    log.unlink(missing_ok=True)
    child = Child("doctor", order(log, "doctor", "--nats", one.server.url, "--data", str(one.folder / COORDINATOR), *options))
    await child.ended(DOCTOR_S)
    return log.read_text()


async def accept_loss(one: World) -> None:
    """Returns when new runs have ended in every partition. Flows may be among what was lost, so they are deployed again."""
    said = await doctor(one, "--accept-loss")
    assert "taken as they are now" in said, said
    await one.deploy(flows.chain())
    for name in one.names(COORDINATOR):
        one.start(name)
    await works(one)


async def works(one: World) -> None:
    """Wait until new runs end, some in every partition."""
    keys = [f"after-{one.seed}-{number}" for number in range(4 * one.shape.partitions)]
    tasks = {subjects.run_id(flows.CHAIN, key): asyncio.create_task(_one_ends(one, key)) for key in keys}
    _, waiting = await asyncio.wait(tasks.values(), timeout=WORKS_S)
    if waiting:
        left = [run for run, task in tasks.items() if task in waiting]
        raise AssertionError(f"{len(left)} of {len(keys)} new runs have not ended: {[await one.why(run) for run in left[:3]]}")


async def _one_ends(one: World, key: str) -> None:
    while True:
        with suppress(JetfleetError):
            outcome = await one.client.run(flows.CHAIN, flows.payload(0), id=key, timeout_s=WORKS_S)
            assert outcome.status == "completed", outcome
            return
        await asyncio.sleep(0.1)
