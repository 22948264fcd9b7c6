"""What every node of the faults does first: it says in the ledger that its execution began."""

from __future__ import annotations

import os

from jetfleet.workers import Context

from .ledger import ledger_at

LEDGER = "FAULTS_LEDGER"
"""The entry of a flow's `settings.env` that names the ledger's file."""
SLOW = "FAULTS_SLOW"
"""How many times slower a worker is than others, in its environment."""


def note(context: Context) -> None:
    """The worker is known by the pid of the process that executes."""
    identity = context.identity
    activation = ".".join(map(str, identity.activation))
    ledger = ledger_at(context.env[LEDGER], fsync=False)
    ledger.effect(identity.run_id, activation, identity.attempt, str(os.getpid()), context.idempotency_key)
