"""The in-flight ledger: what a killed process had in work can be read by whoever comes next, and by nobody while it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jetfleet.workers.fleet.ledger import CELLS, NO_CELL, Ledger, LedgerError, SlotTaken, left_by_others

REPLY = "$JS.ACK.TASKS.queue-default.{}.{}.9.1700000000000000000.0"


def process_that_dies(folder: Path, *lines: str) -> None:
    """Another process that works with the ledger and is killed, without a chance to clean up."""
    code = ["import os, signal", "from pathlib import Path", "from jetfleet.workers.fleet.ledger import Ledger"]
    code += [f"ledger = Ledger(Path({str(folder)!r}))", *lines, "os.kill(os.getpid(), signal.SIGKILL)"]
    assert subprocess.run([sys.executable, "-c", "\n".join(code)]).returncode == -9


def test_what_a_killed_process_had_in_work_is_found_by_the_next_one_in_its_slot(tmp_path: Path) -> None:
    waiting, executing, done = (REPLY.format(1, seq) for seq in (7, 8, 9))
    process_that_dies(
        tmp_path,
        f"ledger.set({waiting!r})",
        f"ledger.executing(ledger.set({executing!r}), True)",
        f"ledger.clear(ledger.set({done!r}))",
    )
    process_that_dies(tmp_path, "assert len(ledger.left) == 2")
    ledger = Ledger(tmp_path)
    assert sorted((one.reply, one.executing) for one in ledger.left) == [(waiting, False), (executing, True)], (
        "it died before it gave them back"
    )
    ledger.given_back()
    assert ledger.left == []
    ledger.close()
    again = Ledger(tmp_path)
    assert again.left == []
    again.close()


def test_others_find_it_too_and_it_is_gone_when_they_have_dealt_with_it(tmp_path: Path) -> None:
    process_that_dies(tmp_path, f"ledger.set({REPLY.format(1, 7)!r})")
    with pytest.raises(ConnectionError), left_by_others(tmp_path) as left:
        raise ConnectionError
    with left_by_others(tmp_path) as left:
        assert [one.reply for one in left] == [REPLY.format(1, 7)]
    with left_by_others(tmp_path) as left:
        assert left == []


def test_the_ledger_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.set(REPLY.format(1, 7))
    with left_by_others(tmp_path) as left:
        assert left == []
    second = Ledger(tmp_path)
    assert (ledger.slot, second.slot, second.left) == ("0", "1", [])
    with pytest.raises(SlotTaken, match="another worker runs in slot 0"):
        Ledger(tmp_path, "0")
    ledger.close()
    second.close()


def test_what_is_no_reply_subject_is_not_given_back_to_anybody(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for text in ("$JS.API.STREAM.DELETE.WAL_0", "$JS.ACK.TASKS.q.1.2.3.4.5 x", "events.orders", "$JS.ACK.é"):
        ledger.set(text)
    ledger.set("$JS.ACK.hub.AbC123.TASKS.queue-default.1.7.9.1700000000000000000.0.token")
    ledger.close()
    with left_by_others(tmp_path) as left:
        assert [one.reply.split(".")[2] for one in left] == ["hub"]


def test_messages_without_a_cell_are_worked_on_all_the_same(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.set("$JS.ACK." + "x" * 300) == NO_CELL
    cells = [ledger.set(REPLY.format(1, seq)) for seq in range(CELLS + 1)]
    assert cells[-1] == NO_CELL and len(set(cells)) == CELLS + 1
    ledger.executing(NO_CELL, True)
    ledger.clear(NO_CELL)
    ledger.clear(cells[0])
    assert ledger.set(REPLY.format(1, 1)) == cells[0]
    ledger.close()


def test_a_damaged_file_is_started_anew_and_no_folder_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "worker-0.inflight").write_bytes(b"torn")
    ledger = Ledger(tmp_path)
    second = Ledger(tmp_path)
    assert ledger.left == [] and second.path.stat().st_mode & 0o777 == 0o600
    ledger.close()
    second.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="--data"):
        Ledger(tmp_path / "file")
