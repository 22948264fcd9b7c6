"""Two hosts on this machine: network namespaces with addresses of their own, and a bridge between them that the server listens on.

What runs on one of them reaches the others through the network only. Making them takes root and `ip`; without, the "hosts" are plain
processes with arenas of their own, and only the arenas' ids tell them apart (`isolation`). If this process is killed with `kill -9`, the
namespaces stay behind: `ip netns list` shows them as `jf…`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

NAMES = ("a", "b")


class Hosts:
    """A context manager. `address`: where a server listens that both reach; `on(host)`: how a command line begins that runs there.

    `name`: how the names of all that is made begin.
    """

    def __init__(self) -> None:
        self.name = f"jf{os.getpid() % 100_000}"
        self._bridge = f"{self.name}br"
        self.separate = os.geteuid() == 0 and shutil.which("ip") is not None
        self.address = f"10.213.{os.getpid() % 254 + 1}.1" if self.separate else "127.0.0.1"

    @property
    def isolation(self) -> str:
        return "network namespaces" if self.separate else "processes"

    def on(self, name: str) -> Sequence[str]:
        return ("ip", "netns", "exec", self._namespace(name)) if self.separate else ()

    def __enter__(self) -> Self:
        if self.separate:
            try:
                self._make()
            except subprocess.CalledProcessError:  # no bridges here, or no permission for them
                self._remove()
                self.separate, self.address = False, "127.0.0.1"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.separate:
            self._remove()

    def _namespace(self, name: str) -> str:
        return f"{self.name}{name}"

    def _cable(self, name: str) -> str:
        return f"{self.name}v{name}"

    def _make(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for number, name in enumerate(NAMES, start=2):
            namespace, cable = self._namespace(name), self._cable(name)
            _ip("netns", "add", namespace)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _ip("link", "set", cable, "master", self._bridge, "up")
            _ip("-n", namespace, "addr", "add", f"{self.address.rpartition('.')[0]}.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", namespace, "link", "set", device, "up")

    def _remove(self) -> None:
        """Whatever there is of it. The cables first: with their namespace they would go too, but only a while later."""
        links = [("link", "del", device) for device in (*map(self._cable, NAMES), self._bridge)]
        for command in (*links, *(("netns", "del", self._namespace(name)) for name in NAMES)):
            subprocess.run(("ip", *command), check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)
