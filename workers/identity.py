"""Identity: which attempt of which activation of which run, and the key by which other systems know its repetitions."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.records import Activation


@dataclass(frozen=True, slots=True)
class Identity:
    """Which attempt of which activation of which run."""

    run_id: str
    node: str
    activation: Activation
    attempt: int

    @property
    def iteration(self) -> int | None:
        """Of the innermost loop or split, counted from 0; None outside of them."""
        last = self.activation[-1]
        return last if len(self.activation) > 1 and isinstance(last, int) else None

    @property
    def idempotency_key(self) -> str:
        """`run/node[0][2]`: the same for all attempts of an activation, and of no other one."""
        return f"{self.run_id}/{self.node}" + "".join(f"[{step}]" for step in self.activation[1:])
