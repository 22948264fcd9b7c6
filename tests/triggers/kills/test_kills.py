"""Whoever serves triggers is killed in the middle: every acknowledged event has exactly one run. None is missing, none is doubled."""

from __future__ import annotations

from pathlib import Path

from ...fleet.conftest import ServerFactory
from ...fleet.running import run
from .amounts import AMOUNTS, WITHIN_S
from .stage import proven
from .worlds import Callers, Files, Senders


@AMOUNTS
def test_every_file_is_one_run(server_factory: ServerFactory, tmp_path: Path, count: int, kills: int) -> None:
    url = server_factory(sync="always").url
    run(proven("filesystem", url, tmp_path, Files(url, tmp_path), count, kills), WITHIN_S)


@AMOUNTS
def test_every_request_that_was_answered_is_one_run(server_factory: ServerFactory, tmp_path: Path, count: int, kills: int) -> None:
    url = server_factory(sync="always").url
    run(proven("webhook", url, tmp_path, Callers(url, tmp_path), count, kills), WITHIN_S)


@AMOUNTS
def test_every_message_of_a_queue_is_one_run(server_factory: ServerFactory, tmp_path: Path, count: int, kills: int) -> None:
    url = server_factory(sync="always").url
    run(proven("queue", url, tmp_path, Senders(url, tmp_path), count, kills, coordinator=False), WITHIN_S)
