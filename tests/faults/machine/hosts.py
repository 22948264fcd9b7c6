"""A machine of its own on the network: a network namespace with one cable to this one, that can be unplugged or made one-way.

    with host() as far:
        process = subprocess.Popen([*far.inside, "nats-server", "-a", far.address, …])
        far.unplug()          # nothing passes, and nobody is told
        far.plug_in()
        far.swallow_outgoing()   # it hears us, we do not hear it: what it acknowledges is lost
        far.swallow_incoming()   # the other way round
        far.heal()

Guarantees: nothing else on this machine is touched, and it is removed at the end, after a failure too. Uses iproute2 only: what is to be
swallowed is sent to a hardware address that nobody has, so it is lost without a word, as on a cable that is broken in one direction.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .needs import attempt, command, need_root, tool

NOBODY = "02:00:00:00:00:01"
_numbers = itertools.count()


class Host:
    """`address` of the host, `ours` of this machine on the same cable; `inside`: the words before a command that is to run there."""

    def __init__(self) -> None:
        number = next(_numbers)
        # Addresses and names must not meet those of other test processes on this machine.
        place = (os.getpid() * 4 + number) % 16_000
        self._name, self._cable, self._far_end = (f"jf{letter}{os.getpid()}x{number}" for letter in "hab")
        self.ours, self.address = (f"10.{77 + place // 8_000}.{place // 64 % 125 + 1}.{place % 64 * 4 + end}" for end in (1, 2))
        # Not by `ip netns exec`: that copies every mount of this machine, and a disk that loses power elsewhere could not be let go of.
        self.inside = [tool("nsenter"), f"--net=/run/netns/{self._name}"]

    def make(self) -> None:
        need_root()
        command("ip", "netns", "add", self._name)
        command("ip", "link", "add", self._cable, "type", "veth", "peer", "name", self._far_end, "netns", self._name)
        command("ip", "addr", "add", f"{self.ours}/30", "dev", self._cable)
        command("ip", "link", "set", self._cable, "up")
        self._there("addr", "add", f"{self.address}/30", "dev", self._far_end)
        self._there("link", "set", "lo", "up")
        self._there("link", "set", self._far_end, "up")

    def unplug(self) -> None:
        """At the far end: on this one the route would go with the cable, and packets would look for another way."""
        self._there("link", "set", self._far_end, "down")

    def plug_in(self) -> None:
        self._there("link", "set", self._far_end, "up")

    def swallow_outgoing(self) -> None:
        """What the host sends does not arrive here."""
        self._there("neigh", "replace", self.ours, "lladdr", NOBODY, "dev", self._far_end, "nud", "permanent")

    def swallow_incoming(self) -> None:
        """What we send does not arrive there."""
        command("ip", "neigh", "replace", self.address, "lladdr", NOBODY, "dev", self._cable, "nud", "permanent")

    def heal(self) -> None:
        """Whatever was done to it is over."""
        attempt("ip", "-n", self._name, "neigh", "del", self.ours, "dev", self._far_end)
        attempt("ip", "neigh", "del", self.address, "dev", self._cable)
        self.plug_in()

    def remove(self) -> None:
        attempt("ip", "link", "del", self._cable)
        attempt("ip", "netns", "del", self._name)

    def _there(self, *arguments: str) -> None:
        command("ip", "-n", self._name, *arguments)


@contextmanager
def host() -> Iterator[Host]:
    """Raises Missing where no namespace can be made. What runs in it must be ended before."""
    made = Host()
    try:
        made.make()
        yield made
    finally:
        made.remove()
