"""The commands of the broker's side: the server, coordinators, the read model, and everything that asks or tells a fleet something."""

from __future__ import annotations

import click

from .coordinator_command import coordinator_command
from .reader_command import reader_command
from .server_command import server_command

commands: list[click.Command] = [coordinator_command, reader_command, server_command]
