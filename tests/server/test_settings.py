"""What can be said about a server, and its form as a configuration file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.server import Cluster, ServerSettings
from jetfleet.broker.server.binary import find_binary
from jetfleet.broker.server.config import config_text
from jetfleet.schemas.errors import UsageError

GIB = 1 << 30
V2_15 = (2, 15, 0)


def text(folder: Path = Path("/data"), version: tuple[int, int, int] = V2_15, **settings: Any) -> str:
    return config_text(ServerSettings(**settings), folder, 2 * GIB, version)


def test_the_limits_are_all_written_down() -> None:
    assert text() == (
        'server_name: "jetfleet"\nhost: "127.0.0.1"\nport: 4222\nhttp: "127.0.0.1:-1"\n'
        'pid_file: "/data/server.pid"\nports_file_dir: "/data"\nlogtime: false\nmax_payload: 8388608\n'
        'jetstream: { store_dir: "/data", sync_interval: "always", max_memory_store: 1073741824, max_file_store: 2147483648, '
        "limits: { default_max_consumers: -1 } }\n"
    )


def test_older_servers_are_not_told_what_they_do_not_know() -> None:
    assert "default_max_consumers" not in text(version=(2, 14, 9))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sync": "500ms", "port": 0, "monitor_port": 8222},
        {"token": "s3cret~token", "host": "::"},
        {"user": "me", "password": "1e3"},
        {"cluster": Cluster(name="three", listen="127.0.0.1:6222", routes=("nats://127.0.0.1:6223", "nats://127.0.0.1:6224"))},
    ],
)
@pytest.mark.parametrize("name", ["plain", 'a "quoted" $HOME', "back\\slash # no comment", "new\nline\ttab\x01", "größe 数据", "'{[;,:=}"])
def test_a_real_server_reads_every_configuration(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file = tmp_path / "server.conf"
    binary = find_binary()
    file.write_text(text(folder, binary.version, **settings))
    answer = subprocess.run([binary.path, "-t", "-c", file], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": 70_000}, "port 70000"),
        ({"monitor_port": -1}, "port -1"),
        ({"store_bytes": 1_000}, "at least 268435456 bytes"),
        ({"sync": "never"}, "say `always`, or a duration"),
        ({"sync": "0s"}, "say `always`, or a duration"),
        ({"user": "me"}, "a user and a password"),
        ({"token": "a", "user": "me", "password": "b"}, "a token, or"),
        ({"token": 'a"b'}, "letters, digits"),
        ({"user": "me", "password": "p@ss"}, "letters, digits"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_started(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ServerSettings(**settings)


def test_a_server_is_open_when_others_reach_it_and_nothing_keeps_them_out() -> None:
    assert not ServerSettings().is_open
    assert not ServerSettings(host="localhost").is_open
    assert not ServerSettings(host="::1").is_open
    assert ServerSettings(host="0.0.0.0").is_open
    assert ServerSettings(host="db.example.org").is_open
    assert not ServerSettings(host="0.0.0.0", token="t").is_open
