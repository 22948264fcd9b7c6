"""Properties of every run: random programs, random orders of completion, crashes, repetitions and rubbish in between.

JETFLEET_SOAK=1 (or `make soak`) raises the number of examples; without it the examples are the same each time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jetfleet.broker.engine import blocked_on, decide, digest, fold, nodes, outstanding, recovery, restore, snapshot, wants
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.codec import (
    decode_batch,
    decode_effect,
    decode_record,
    encode_batch,
    encode_effect,
    encode_record,
)
from jetfleet.schemas.errors import UnreadableRecord
from jetfleet.schemas.records import ChildEnded, Completion, Record, TimerFired, TimerId

from .driving import Driver, compiled
from .losing import LosingPlayer, decidable
from .playing import Player
from .programs import Program, definition, tasks, timeless
from .reference import interpret
from .strategies import programs

SOAK = "JETFLEET_SOAK" in os.environ or (settings.default is not None and settings.default.max_examples >= 10_000)
SEEDS = st.integers(0, 2**32 - 1)
VALUES = st.sampled_from([{"n": 5, "items": [{"n": 1}, {"n": 95}]}, {"n": 60, "items": []}, {"n": 99, "items": [{"n": 50}] * 5}, None])


def examples(count: int) -> settings:
    return settings(max_examples=count * 50 if SOAK else count, derandomize=not SOAK, deadline=None, print_blob=True)


def player(program: Program, value: Any, seed: int, *, keep: bool = True) -> Player:
    return Player(program, compiled(definition(program)), value, seed, keep=keep)


def played(program: Program, value: Any, seed: int) -> Driver:
    return player(program, value, seed).play()


# --- the reference


@examples(150)
@given(programs(), VALUES, SEEDS)
def test_every_run_ends_as_the_reference_says(program: Program, value: Any, seed: int) -> None:
    game = player(program, value, seed)
    run = game.play()
    expected = interpret(program, value, game.output)
    assert run.ended == expected.status, (run.result, expected.faults)
    if run.ended == "failed":
        assert (run.error.node, run.error.type) in expected.faults
    else:
        assert timeless(run.value) == timeless(expected.output)
    if run.ended == "completed" or program.on_failure == "finish":
        completed = {
            name: timeless(payloads.decode(view.output or b"")) for name, view in nodes(run.run).items() if view.status == "completed"
        }
        sure = {name: output for name, output in completed.items() if name.split("[")[0] not in expected.unsure and name[0] != "u"}
        assert sure == {name: timeless(output) for name, output in expected.outputs.items() if name.split("[")[0] not in expected.unsure}


@examples(40)
@given(programs(order_free=True), VALUES, st.lists(SEEDS, min_size=2, max_size=2, unique=True))
def test_the_order_of_completions_does_not_matter_where_nobody_asks_for_it(program: Program, value: Any, seeds: list[int]) -> None:
    first, second = (played(program, value, seed) for seed in seeds)
    assert first.ended == second.ended
    if first.ended == "completed":
        assert first.value == second.value


@examples(40)
@given(programs(), VALUES, SEEDS)
def test_keeping_the_instances_changes_nothing_that_happens(program: Program, value: Any, seed: int) -> None:
    kept, dropped = player(program, value, seed).play(), player(program, value, seed, keep=False).play()
    assert kept.effects == dropped.effects


# --- undoing


@examples(60)
@given(programs(), VALUES, SEEDS, st.integers(0, 30), st.booleans())
def test_what_was_completed_is_undone_once_when_a_run_does_not_complete(
    program: Program, value: Any, seed: int, after: int, pause: bool
) -> None:
    game = player(program, value, seed)
    for _ in range(after):
        game.step()
    if not game.driver.ended:
        if pause:
            game.driver.pause()
        game.driver.cancel()
    run = game.play()
    views = nodes(run.run)
    for task in tasks(program.root):
        for name, view in views.items() if task.undo else ():
            if name.split("[")[0] == task.id and run.ended != "completed" and view.status == "completed":
                undo = name.replace(task.id, task.undo, 1)
                assert views[undo].status == "completed", f"{name} was not undone"
    assert all(game.executed[name] <= game.executed[_undone(program, name)] for name in game.executed if name[0] == "u")


def _undone(program: Program, undo: str) -> str:
    id, bracket, rest = undo.partition("[")
    return next(task.id for task in tasks(program.root) if task.undo == id) + bracket + rest


@examples(30)
@given(programs(), VALUES, SEEDS, st.integers(0, 30))
def test_a_run_can_be_killed_at_any_moment(program: Program, value: Any, seed: int, after: int) -> None:
    game = player(program, value, seed)
    for _ in range(after):
        game.step()
    if not game.driver.ended:
        game.driver.cancel(kill=True)
        assert game.driver.ended == "killed"


@examples(30)
@given(programs(), VALUES, SEEDS)
def test_pausing_and_resuming_changes_nothing_but_when(program: Program, value: Any, seed: int) -> None:
    game = player(program, value, seed)
    run = game.play(paused_at_times)
    expected = interpret(program, value, game.output)
    assert run.ended == expected.status
    assert run.ended == "failed" or timeless(run.value) == timeless(expected.output)


def paused_at_times(game: Player) -> None:
    """Pauses the run before a step, lets some of what is out come in, and resumes it."""
    if game.chance.random() < 0.3 and game.driver.run.status == "running":
        game.driver.pause()
        for _ in range(game.chance.randrange(4)):
            if game.choices():
                game.step()
        if not game.driver.ended:
            game.driver.resume()


# --- repetitions and rubbish


@examples(60)
@given(programs(), VALUES, SEEDS)
def test_repeated_late_and_unknown_records_change_nothing_and_are_counted(program: Program, value: Any, seed: int) -> None:
    forged: set[int] = set()  # records of ours: one for an attempt that is still to come would be a true one later

    def disturb(game: Player) -> None:
        taken_in = [record for record in game.driver.journal if id(record) not in forged]
        record = _rubbish(game.driver, taken_in, game.chance)
        if record not in taken_in:
            forged.add(id(record))
        before, ignored = digest(game.driver.run), game.driver.ignored
        assert game.driver.give(record) == []
        assert digest(game.driver.run) == before, f"{record} changed the run"
        assert game.driver.ignored == ignored + 1

    run = player(program, value, seed).play(disturb)
    again = played(program, value, seed)
    assert (run.ended != "") and (again.ended != "")


def _rubbish(run: Driver, taken_in: list[Record], chance: Random) -> Record:
    """A record that has been taken in already, or one for something that does not exist (any more)."""
    plan, now = run.plan, run.now
    kind = chance.randrange(6)
    if kind < 3:
        return chance.choice(taken_in)
    activation: tuple[int | str, ...] = chance.choice([(), (len(plan.nodes),), (-1,), (0, 7), ("x",), (0, "x"), (0, 0, 0, 0, 0)])
    if kind == 3:
        return Completion("r1", now, activation, 1)
    if kind == 4:
        purpose = chance.choice(["retry", "wait", "delay", "timeout", "scope", "scope_retry", "run", "?"])
        return TimerFired("r1", now, TimerId(activation, purpose, 1))
    if run.open and chance.random() < 0.5:
        task = run.open[chance.choice(list(run.open))]
        return Completion("r1", now, task.activation, task.attempt + chance.choice([-1, 1]), output=b"\x01")
    return ChildEnded("r1", now, activation, 1, "r9", "completed")


# --- folding and restoring


@examples(60)
@given(programs(), VALUES, SEEDS, st.booleans(), st.data())
def test_a_run_restored_at_any_record_goes_on_as_if_nothing_had_happened(
    program: Program, value: Any, seed: int, keep: bool, data: st.DataObject
) -> None:
    run = player(program, value, seed, keep=keep).play()
    whole = fold(run.plan, run.journal, keep)
    assert digest(whole) == digest(run.run) and whole.ignored == run.ignored
    cut = data.draw(st.integers(1, len(run.journal)))
    before = fold(run.plan, run.journal[:cut], keep)
    after = restore(run.plan, snapshot(before))
    assert digest(after) == digest(before) and snapshot(after) == snapshot(before)
    assert [decide(after, record) for record in run.journal[cut:]] == [decide(before, record) for record in run.journal[cut:]]
    assert digest(after) == digest(whole) == digest(before)


@examples(60)
@given(programs(), VALUES, SEEDS)
def test_what_is_outstanding_is_what_was_asked_for_and_not_answered(program: Program, value: Any, seed: int) -> None:
    def compare(game: Player) -> None:
        assert blocked_on(game.driver.run)
        restored = restore(game.driver.plan, snapshot(game.driver.run))
        assert sorted(map(encode_effect, outstanding(restored))) == sorted(map(encode_effect, game.driver.unanswered()))

    player(program, value, seed).play(compare)


# --- lost payloads


def losing(program: Program, value: Any, seed: int, losing: float = 0.3, *, keep: bool = True) -> LosingPlayer:
    assume(decidable(program))
    return LosingPlayer(program, compiled(definition(program)), value, seed, losing, keep=keep)


@examples(60)
@given(programs(), VALUES, SEEDS)
def test_a_run_whose_lost_payloads_are_made_again_ends_as_if_none_had_been_lost(program: Program, value: Any, seed: int) -> None:
    game = losing(program, value, seed, 0.1)
    run = game.play()
    if game.gave_up:
        return
    expected = interpret(program, value, game.output)
    assert run.ended == expected.status, (run.result, expected.faults)
    assert run.ended == "failed" or timeless(game.whole(run.value)) == timeless(expected.output)


@examples(60)
@given(programs(), VALUES, SEEDS, st.booleans(), st.data())
def test_a_run_that_loses_payloads_goes_on_from_any_record_as_if_nothing_had_happened(
    program: Program, value: Any, seed: int, keep: bool, data: st.DataObject
) -> None:
    run = losing(program, value, seed, keep=keep).play()
    whole = fold(run.plan, run.journal, keep)
    assert digest(whole) == digest(run.run) and whole.ignored == run.ignored == 0
    cut = data.draw(st.integers(1, len(run.journal)))
    before = fold(run.plan, run.journal[:cut], keep)
    after = restore(run.plan, snapshot(before))
    assert digest(after) == digest(before) and snapshot(after) == snapshot(before)
    assert [decide(after, record) for record in run.journal[cut:]] == [decide(before, record) for record in run.journal[cut:]]
    assert digest(after) == digest(whole) == digest(before)


@examples(60)
@given(programs(), VALUES, SEEDS, st.integers(0, 40), st.sampled_from(["cancel", "kill", "pause"]))
def test_a_run_that_loses_payloads_can_be_steered_at_any_moment(program: Program, value: Any, seed: int, after: int, how: str) -> None:
    game = losing(program, value, seed)
    for _ in range(after):
        game.step()
    if game.driver.run.status != "running":
        return
    if how == "pause":
        game.driver.pause()
        for _ in range(5):
            if game.choices():
                game.step()
        game.driver.resume()
    else:
        game.driver.cancel(kill=how == "kill")
    assert game.play().ended in {"cancel": ("cancelled",), "kill": ("killed",), "pause": ("completed", "failed")}[how]


@examples(60)
@given(programs(), VALUES, SEEDS)
def test_what_is_outstanding_in_a_run_that_loses_payloads_is_what_was_asked_for(program: Program, value: Any, seed: int) -> None:
    def compare(game: Player) -> None:
        run = game.driver.run
        assert blocked_on(run)
        restored = restore(game.driver.plan, snapshot(run))
        asked = recovery.relocated(run, game.driver.unanswered())  # what went out before something was made again is repeated with that
        assert sorted(map(encode_effect, outstanding(restored))) == sorted(map(encode_effect, asked))
        assert all(wants(restored, task.activation, task.attempt) for task in game.driver.open.values())

    losing(program, value, seed).play(compare)


@examples(30)
@given(programs(), VALUES, SEEDS, st.integers(0, 60), st.booleans())
def test_keeping_the_instances_changes_nothing_in_a_run_that_loses_payloads(
    program: Program, value: Any, seed: int, after: int, cancel: bool
) -> None:
    """Nor where it is paused now and then, and cancelled at some moment."""

    def played(keep: bool) -> Driver:
        game = losing(program, value, seed, keep=keep)
        for _ in range(after):
            if not game.driver.ended:
                paused_at_times(game)
                game.step()
        if cancel and game.driver.run.status == "running":
            game.driver.cancel()
        return game.play(paused_at_times)

    kept, dropped = played(keep=True), played(keep=False)
    assert kept.effects == dropped.effects and kept.ignored == dropped.ignored == 0


@examples(20)
@given(programs(), VALUES, SEEDS)
def test_records_and_effects_come_back_from_their_bytes(program: Program, value: Any, seed: int) -> None:
    run = played(program, value, seed)
    assert [decode_record(encode_record(record)) for record in run.journal] == run.journal
    assert [decode_effect(encode_effect(effect)) for effect in run.effects] == run.effects
    assert decode_batch(encode_batch(run.journal)) == (run.journal, [])


@examples(200)
@given(st.binary(max_size=64))
def test_random_bytes_are_refused_as_what_they_are(data: bytes) -> None:
    for read in (decode_record, decode_effect, decode_batch):
        try:
            read(data)
        except UnreadableRecord:
            continue


@examples(60)
@given(programs(), VALUES, SEEDS, st.data())
def test_a_damaged_snapshot_is_refused_or_is_another_snapshot(program: Program, value: Any, seed: int, data: st.DataObject) -> None:
    game = player(program, value, seed)
    game.step()
    whole = bytearray(snapshot(game.driver.run))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        restore(game.driver.plan, bytes(whole))
    except UnreadableRecord:
        return


# --- one result on every machine


DIGESTS = """
import json, sys
from jetfleet.broker.engine import digest, fold
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.plan.compiler import compile_flow
for line in open(sys.argv[1]):
    flow, journal = json.loads(line)
    records, _ = decode_batch(bytes.fromhex(journal))
    print(digest(fold(compile_flow(Flow.model_validate(flow)), records)))
"""


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    lines: list[str] = []

    @settings(max_examples=30, derandomize=True, deadline=None, database=None)
    @given(programs(), VALUES, SEEDS)
    def record(program: Program, value: Any, seed: int) -> None:
        flow = definition(program)
        lines.append(json.dumps([flow, encode_batch(played(program, value, seed).journal).hex()]))

    record()
    path = tmp_path / "journals.jsonl"
    path.write_text("\n".join(lines))
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        process = subprocess.run([sys.executable, "-c", DIGESTS, str(path)], env=environment, capture_output=True, text=True, check=True)
        found.append(process.stdout.split())
    assert len(found[0]) == len(lines) and found[0] == found[1]
