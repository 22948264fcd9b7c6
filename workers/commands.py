"""The commands about running: `run`, `nodes` and `worker`."""

from __future__ import annotations

import click

from .nodes_command import nodes_command
from .run_command import run_command
from .worker_command import worker_command

commands: list[click.Command] = [run_command, nodes_command, worker_command]
