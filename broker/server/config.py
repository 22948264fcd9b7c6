"""The text of a server's configuration file. Pure: the same settings give the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from .settings import ServerSettings

Block: TypeAlias = dict[str, Any]


def config_text(settings: ServerSettings, folder: Path, store_bytes: int, version: tuple[int, int, int]) -> str:
    """The configuration of a server of this version with its files in `folder` (absolute)."""
    return "".join(f"{key}: {literal(value)}\n" for key, value in _config(settings, folder, store_bytes, version).items())


def _config(settings: ServerSettings, folder: Path, store_bytes: int, version: tuple[int, int, int]) -> Block:
    config: Block = {
        "server_name": settings.name,
        "host": settings.host,
        "port": settings.port or -1,
        # Whoever reads it needs no password, so never anything but loopback.
        "http": f"127.0.0.1:{settings.monitor_port or -1}",
        "pid_file": str(folder / "server.pid"),
        "ports_file_dir": str(folder),
        "logtime": False,
        "max_payload": settings.payload_bytes,
        "jetstream": {
            "store_dir": str(folder),
            "sync_interval": settings.sync,
            "max_memory_store": settings.memory_bytes,
            "max_file_store": store_bytes,
        },
    }
    if version >= (2, 15, 0):
        # 2.15 brought a ceiling of 1,000 consumers per stream, and the setting that lifts it; older versions refuse to know it.
        config["jetstream"]["limits"] = {"default_max_consumers": -1}
    if settings.token:
        config["authorization"] = {"token": settings.token}
    if settings.user:
        config["authorization"] = {"user": settings.user, "password": settings.password}
    if settings.tls_cert and settings.tls_key:
        config["tls"] = {"cert_file": str(settings.tls_cert.absolute()), "key_file": str(settings.tls_key.absolute())}
        if settings.tls_ca:
            config["tls"] |= {"ca_file": str(settings.tls_ca.absolute()), "verify": True}
    if cluster := settings.cluster:
        config["cluster"] = {"name": cluster.name, "listen": cluster.listen, "routes": list(cluster.routes)}
    return config


def literal(value: Any) -> str:
    """A value in the language of the server's configuration."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case dict():
            return "{ " + ", ".join(f"{key}: {literal(inner)}" for key, inner in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    """Always in quotes: a bare word could be a variable, a number with a unit, or the beginning of a comment."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if ord(character) < 0x20:
        return f"\\x{ord(character):02X}"
    return character
