"""Locality: on which host a task had best be executed.

A task that refers to values in arenas goes to the host that holds most of their bytes, if somebody there is known to take it. That is a
preference and no more: what waits there too long anybody takes (`workers/fleet/elsewhere.py`), so what is known here may be a little old.

Guarantees: a task without refs costs a look at its bytes; a host that no live worker announces is never chosen.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload, refs_in
from ...schemas.ref import may_hold_ref
from ..fleet.arenas import Served, arenas, room_wanted, silent_hosts
from ..fleet.membership import WORKER, Membership
from ..payloads.run_states import family

NEAR_MIN_BYTES = 1 << 20
"""Fewer bytes are fetched sooner than a task waits for one host to have room: an object of 1 MiB takes a few milliseconds."""
LOOK_AGAIN_S = 0.1
"""How old the view of the workers may be. Their facts change once a second at most."""
ANYWHERE = ""


class Locality:
    """What the members of the fleet say about their arenas, and the choice that follows."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._served: Served = {}
        self._looked_at = float("-inf")

    def near(self, queue: str, type: str, input: Payload, needs: Iterable[Payload] = ()) -> str:
        """The host for a task of this queue and node type; "": anywhere."""
        holding = [payload for payload in (input, *needs) if may_hold_ref(payload)]
        if not holding:
            return ANYWHERE
        served = self._workers()
        for host, size_bytes in _sizes(holding).most_common():
            if size_bytes < NEAR_MIN_BYTES:
                break
            if any(queue in queues and type in types for queues, types in served.get(host, ())):
                return host
        return ANYWHERE

    def silent_hosts(self, run: str) -> list[str]:
        """Hosts that have values of the run, or of others in its family, and do not answer those who ask for them."""
        asked = silent_hosts(self._membership.others(WORKER))
        return sorted({host for other, host in asked if family(other) == family(run)})

    def full_hosts(self, run: str) -> list[str]:
        """Hosts in whose arenas a value of the run waits for room."""
        return sorted(host for waiting, host in room_wanted(self._membership.others(WORKER)) if waiting == run)

    def _workers(self) -> Served:
        now = time.monotonic()
        if now - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = now
            self._served = arenas(self._membership)
        return self._served


def _sizes(payloads: Iterable[Payload]) -> Counter[str]:
    """By host, the bytes of the entries that payloads refer to. An entry travels as a whole, so a path into it counts like all of it."""
    entries: dict[tuple[str, str, int, int], int] = {}
    for payload in payloads:
        with contextlib.suppress(UnreadablePayload):  # whoever executes the task says so
            entries |= {ref.entry: ref.length for ref in refs_in(payload) if ref.host}
    sizes: Counter[str] = Counter()
    for (host, *_), length in entries.items():
        sizes[host] += length
    return sizes
