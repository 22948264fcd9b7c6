"""The commands of the broker's side: the server, coordinators, the read model, and everything that asks or tells a fleet something."""

from __future__ import annotations

import click

commands: list[click.Command] = []
