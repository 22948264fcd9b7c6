"""The commands of the broker's side: the server, coordinators, the read model, and everything that asks or tells a fleet something."""

from __future__ import annotations

import click

from .cli.deploy_command import deploy_command
from .cli.dlq_command import dlq_command
from .cli.doctor_command import doctor_command
from .cli.runs_command import runs_command
from .cli.send_command import send_command
from .coordinator_command import coordinator_command
from .reader_command import reader_command
from .server_command import server_command

commands: list[click.Command] = [
    server_command, coordinator_command, reader_command,
    deploy_command, send_command, runs_command, dlq_command, doctor_command,
]  # fmt: skip
