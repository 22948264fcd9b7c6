"""The commands about triggers."""

commands = {"trigger": "jetfleet.triggers.cli.trigger_command:trigger_command"}
