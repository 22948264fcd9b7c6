"""A folder of flows: all in it are deployed, and while it is watched each again as soon as its file changes.

A flow that is not valid is reported and keeps nobody from the others. A file that goes away leaves its flow deployed: runs and events may
still be there for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ...broker.api import Client
from ...broker.cli.deploy_command import Deployment, deploy_files, report_invalid
from ...broker.cli.printing import complain, note
from ...schemas.commands import flow_files
from ...schemas.errors import JetfleetError

LOOK_S = 0.5


class FlowFolder:
    def __init__(self, path: Path, nodes: Sequence[str] = ()) -> None:
        self._path = path
        self._nodes = tuple(nodes)
        self._seen: dict[Path, tuple[int, int]] = {}
        self._names: set[str] = set()

    async def deploy(self, client: Client) -> Deployment:
        """Deploy what is new or changed since the last time. Raises UsageError if there is no flow at all, BrokerError."""
        files = [file for file in flow_files([self._path]) if self._changed(file)]
        deployment = await deploy_files(client, files, self._nodes)
        report_invalid(deployment)
        self._names |= {flow.name for flow in deployment.flows}
        return deployment

    def absent(self, client: Client) -> list[str]:
        """Flows that are deployed and were in none of its files, or only in some that are not valid."""
        return [name for name in client.flows.names() if name not in self._names]

    async def watch(self, client: Client) -> None:
        """Deploy what changes, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                deployment = await self.deploy(client)
            except JetfleetError as error:  # no flow left for the moment, no server: it is tried again
                complain(error)
                continue
            for flow in deployment.flows:
                note(f"deployed: {flow.name} {flow.version}{'' if flow.changed else ' (nothing new)'}")

    def _changed(self, file: Path) -> bool:
        try:
            stat = file.stat()
        except OSError:
            return False
        now = (stat.st_mtime_ns, stat.st_size)
        before = self._seen.get(file)
        self._seen[file] = now
        return now != before
