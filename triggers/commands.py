"""The commands of this package."""

commands: dict[str, str] = {}
