"""`jetfleet runs`: the group with all of its commands, which stand in modules by what they are for.

runs_command     the list, waiting for an end     runs_steering    telling a run, or many, what to do
runs_show        one run as a tree                runs_history     its journal
runs_approvals   answering what it waits for
runs_study       state, diff, explain, verify     runs_transfer    export, import, replay
"""

from __future__ import annotations

from . import runs_approvals, runs_history, runs_show, runs_steering, runs_study, runs_transfer
from .runs_command import runs_command

__all__ = ["runs_approvals", "runs_command", "runs_history", "runs_show", "runs_steering", "runs_study", "runs_transfer"]
