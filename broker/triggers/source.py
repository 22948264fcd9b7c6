"""The contract of an adapter: a source of firings, for one trigger or several triggers with the same params.

    supervisor ──opens──▶ source ──firings()──▶ events on disk ──confirm(firing, fate)──▶ source may forget it
                                                       ╲ or never: the process died; the source brings it again, with the same key

A source never publishes, and knows neither flows nor runs: what every adapter would get wrong in its own way (ids, retries,
backpressure, restarts) is in one place, the supervisor. What the supervisor promises to a source:

* `firings` is iterated once, by one task. It is not asked for the next firing while `in_flight_max` are unconfirmed or the trigger is
  paused: a source that is not asked must not take more from outside than it can hold.
* `confirm` is called once for every firing, in any order, after its events are on disk or refused for good. It must not block or raise;
  what takes time is done in a task of the source's own.
* `bound` is called before `firings`, and whenever other triggers listen.
* `pause` and `resume` come in turn. `close` comes last: after the iteration has ended and, if that took no longer than a grace, after
  everything was confirmed. What was never confirmed must come again, from whichever process serves the trigger next.
* If `firings` raises, the source is closed and a new one made, after a pause that grows. `SourceBroken` says that this helps only after
  somebody has done something; it is tried again all the same, seldom.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...schemas.errors import JetfleetError
from .firing import Fate, Firing

if TYPE_CHECKING:
    from ..api.client import Client
    from .shared import Shared


class SourceFailed(JetfleetError):
    """The world outside does not answer for now: a broker that is down, a folder that is not mounted."""

    code = "SOURCE_FAILED"


class SourceBroken(JetfleetError):
    """Something has to be done first: a port that is taken, a library that is not installed, a path that is not allowed."""

    code = "SOURCE_BROKEN"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a source is made for. `params`: those of the type, validated. `triggers`: (flow, trigger id) of those it is first made for;
    `Source.bound` tells of those that listen now."""

    type: str
    params: Any
    triggers: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """As logs call it: `shop.orders`, or `shop.orders +2` where others share it."""
        flow, trigger = self.triggers[0]
        others = len(self.triggers) - 1
        return f"{flow}.{trigger}" + (f" +{others}" if others else "")


@dataclass(slots=True)
class Site:
    """Where sources live. `data`: a folder for what they have to remember; `arena`: this host's arena, if payloads may go there.

    `shared`: what several sources of this process need one of, such as an HTTP listener. `only`: the flows that the process keeps to; none:
    all.
    """

    client: Client
    shared: Shared
    data: Path
    arena: Path | None = None
    only: tuple[str, ...] = ()


class Source(ABC):
    """Made with a Spec and a Site: cheaply, and without reaching outside before `firings` is iterated."""

    in_flight_max = 1_024
    """Firings that may be unconfirmed at a time."""
    patient = True
    """Whether a firing waits for as long as its event finds no room or no server. If not, it is refused with the reason, at once or at
    the publish deadline, and the source tells who is waiting."""
    buries = True
    """Whether a firing that a flow refuses for good becomes a dead letter. If not, the source tells who is waiting."""

    @abstractmethod
    def firings(self) -> AsyncIterator[Firing]:
        """What happens, from now on and as far as the source remembers. Raises SourceFailed, SourceBroken."""

    @abstractmethod
    def confirm(self, firing: Firing, fate: Fate) -> None:
        """The firing needs no remembering any more."""

    async def close(self) -> None:  # noqa: B027 (most have something to do, and need not)
        """Let go of everything outside."""

    def bound(self, triggers: Sequence[tuple[str, str]]) -> None:  # noqa: B027
        """The triggers that listen from now on, as (flow, trigger id)."""

    def pause(self) -> None:  # noqa: B027
        """Nothing is taken until `resume`. What happens meanwhile waits outside, or is turned away with the reason."""

    def resume(self) -> None:  # noqa: B027
        """Go on."""

    def status(self) -> str:
        """In a few words, for people: what it listens to, how far it is."""
        return ""
