"""Lost payloads: what nobody has any more is made again by the nodes that made it, or the run says why it cannot be."""

from __future__ import annotations

from jetfleet.broker.engine import blocked_on, digest, fold, has_tasks_out, outstanding, restore, snapshot, wants
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import CancelTask, Emit, StartChild
from jetfleet.schemas.records import Completion, Error
from jetfleet.schemas.ref import Ref

from .driving import Driver
from .refs import CHAIN, a_ref, lose, lost_once

# --- being made again


def test_the_producer_is_executed_again_and_then_the_consumer() -> None:
    run, _ = lost_once()
    assert list(run.open) == ["p"] and run.open["p"].attempt == 2
    assert run.statuses("p", "c") == ["completed", "retrying"]
    new = a_ref(run, "p")
    run.complete("p", {"table": new, "n": 1})
    assert list(run.open) == ["c"] and run.open["c"].attempt == 2
    assert run.input("c") == {"table": new, "n": 1} == run.output("p")


def test_the_producer_gets_what_it_had_got_and_its_ways_are_not_gone_again() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, p: {type: x.p, config: {limit: "${a.n}"}}, c: {type: x.c}, other: {type: x.other}}
        edges: [{from: a, to: p}, {from: p, to: c}, {from: p, to: other}]
        """
    )
    run.complete("a", {"n": 1})
    first, old = run.open["p"], a_ref(run, "p")
    run.complete("p", old)
    run.complete("other")
    lose(run, "c", old)
    again = run.open["p"]
    assert (again.input, again.needs) == (first.input, first.needs)
    run.complete("p", a_ref(run, "p"))
    run.complete("c", 1)
    assert run.dispatched() == ["a", "p", "c", "other", "p", "c"] and run.ended == "completed"


def test_why_the_run_does_not_move_is_told_meanwhile() -> None:
    run, _ = lost_once()
    assert [(blocked.node, blocked.reason) for blocked in blocked_on(run.run)] == [("c", "payload"), ("p", "task")]
    assert "p" in blocked_on(run.run)[0].detail
    task = run.open["p"]
    assert has_tasks_out(run.run) and wants(run.run, task.activation, 2)
    assert not wants(run.run, task.activation, 1) and not wants(run.run, run.address("c"), 1)
    assert outstanding(run.run) == [task]


def test_a_lost_payload_counts_as_no_failure_of_the_consumer() -> None:
    run, _ = lost_once(CHAIN.replace("c: {type: x.c}", "c: {type: x.c, retry: {max_attempts: 2, jitter: false}}"))
    run.complete("p", a_ref(run, "p"))
    run.fail("c")
    run.fire("c", "retry")
    assert run.open["c"].attempt == 3
    run.fail("c")
    assert (run.ended, run.error.type, run.error.attempts) == ("failed", "boom", 2)


def test_refs_of_old_are_replaced_in_all_that_leaves_the_run() -> None:
    run = Driver(
        """
        nodes:
          p: {type: x.p}
          q: {type: x.q}
          c: {type: x.c}
          s: {type: std::subflow, config: {flow: other, input: {rows: "${q.rows}"}}}
          e: {type: std::emit, config: {subject: s, payload: "${q.rows[3]}"}}
          z: {type: x.z, config: {row: "${q.rows[1].id}"}}
        edges: [{from: p, to: q}, {from: q, to: c}, {from: c, to: s}, {from: s, to: e}, {from: e, to: z}]
        outputs: {rows: "${q.rows}", whole: "${q}"}
        """
    )
    old, new = a_ref(run, "p", items=9), a_ref(run, "p", items=9)
    run.complete("p", {"rows": old})
    run.complete("q", {"rows": old, "one": old.at((7, "x"))})  # q hands on what p made
    lose(run, "c", old)
    run.complete("p", {"rows": new})
    assert run.input("c") == {"rows": new, "one": new.at((7, "x"))}
    run.complete("c")
    assert payloads.decode(run.all(StartChild)[0].input) == {"rows": new}
    run.child_ended("s")
    assert payloads.decode(run.all(Emit)[0].payload) == new.at((3,))
    assert [payloads.decode(need) for need in run.open["z"].needs] == [{"rows": new, "one": new.at((7, "x"))}]
    run.complete("z")
    assert run.value == {"rows": new, "whole": {"rows": new, "one": new.at((7, "x"))}}


def test_what_is_small_when_it_is_made_again_stands_in_the_place_of_refs_into_it() -> None:
    run = Driver("nodes: {p: {type: x.p}, q: {type: x.q}, c: {type: x.c}}\nedges: [{from: p, to: q}, {from: q, to: c}]")
    old = a_ref(run, "p")
    run.complete("p", {"rows": old})
    run.complete("q", [old, old.at((1, "id")), old.at((9, "id"))])
    lose(run, "c", old)
    run.complete("p", {"rows": [{"id": 0}, {"id": 1}]})
    assert run.input("c") == [[{"id": 0}, {"id": 1}], 1, old.at((9, "id"))]


def test_what_was_lost_twice_is_followed_to_where_it_is_now() -> None:
    run = Driver(
        """
        nodes: {p: {type: x.p}, q: {type: x.q}, c: {type: x.c}, d: {type: x.d}}
        edges: [{from: p, to: q}, {from: q, to: c}, {from: c, to: d}]
        """
    )
    first, second, third = (a_ref(run, "p") for _ in range(3))
    run.complete("p", first)
    run.complete("q", {"kept": first})
    lose(run, "c", first)
    run.complete("p", second)
    lose(run, "c", second)
    run.complete("p", third)
    assert run.input("c") == {"kept": third}
    run.complete("c", first)  # a worker may still hand on what it has seen long ago
    assert run.input("d") == third


def test_bytes_that_lie_in_the_object_store_by_the_same_digest_again_need_no_replacing() -> None:
    run = Driver(CHAIN)
    stored = Ref("text", 9, 1, digest="ab" * 32, run="r1", activation=run.address("p"), again=True)
    run.complete("p", stored)
    lose(run, "c", stored)
    run.complete("p", stored)
    assert run.input("c") == stored


def test_consumers_of_one_lost_payload_wait_for_one_execution() -> None:
    run = Driver("nodes: {p: {type: x.p}, b: {type: x.b}, c: {type: x.c}}\nedges: [{from: p, to: b}, {from: p, to: c}]")
    old = a_ref(run, "p")
    run.complete("p", old)
    lose(run, "b", old)
    lose(run, "c", old)
    assert run.dispatched("p") == ["p", "p"]
    run.complete("p", a_ref(run, "p"))
    assert sorted(run.open) == ["b", "c"]


def test_a_task_from_before_the_loss_takes_what_was_made_meanwhile() -> None:
    run = Driver("nodes: {p: {type: x.p}, b: {type: x.b}, c: {type: x.c}}\nedges: [{from: p, to: b}, {from: p, to: c}]")
    old, new, newest = (a_ref(run, "p") for _ in range(3))
    run.complete("p", old)
    lose(run, "b", old)
    run.complete("p", new)
    lose(run, "c", old)
    assert run.dispatched("p") == ["p", "p"] and run.input("c") == new
    lose(run, "c", new)
    assert run.dispatched("p") == ["p"] * 3
    run.complete("p", newest)
    assert run.input("c") == newest


def test_a_producer_whose_own_input_is_lost_waits_for_its_producer() -> None:
    run = Driver("nodes: {a: {type: x.a}, p: {type: x.p}, c: {type: x.c}}\nedges: [{from: a, to: p}, {from: p, to: c}]")
    source, old = a_ref(run, "a"), a_ref(run, "p")
    run.complete("a", source)
    run.complete("p", old)
    lose(run, "c", old)
    lose(run, "p", source)
    assert list(run.open) == ["a"]
    again = a_ref(run, "a")
    run.complete("a", again)
    assert run.open["p"].attempt == 3 and run.input("p") == again
    new = a_ref(run, "p")
    run.complete("p", new)
    assert run.input("c") == new


def test_several_producers_are_executed_at_once_and_all_waited_for() -> None:
    run = Driver("nodes: {p: {type: x.p}, q: {type: x.q}, c: {type: x.c}}\nedges: [{from: p, to: c}, {from: q, to: c}]")
    refs = [a_ref(run, "p"), a_ref(run, "q")]
    run.complete("p", refs[0])
    run.complete("q", refs[1])
    lose(run, "c", *refs)
    assert list(run.open) == ["p", "q"]
    run.complete("q", 2)
    assert list(run.open) == ["p"]
    run.complete("p", 1)
    assert run.input("c") == {"p": 1, "q": 2}


def test_a_switch_that_a_worker_decides_finds_its_value_lost_as_any_task_does() -> None:
    run = Driver('nodes: {p: {type: x.p}, s: {type: std::switch, config: {condition: "n > 1"}}}\nedges: [{from: p, to: s}]')
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    lose(run, "s", old)
    run.complete("p", new)
    assert run.open["s"].attempt == 2 and run.input("s") == new
    run.complete("s", port="true")
    assert run.value == new


def test_a_deep_merge_that_a_worker_did_is_done_again() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, m: {type: std::merge, config: {output: deep_merge}}, c: {type: x.c}}
        edges: [{from: a, to: m}, {from: b, to: m}, {from: m, to: c}]
        """
    )
    run.complete("a", {"x": a_ref(run, "a")})
    run.complete("b", {"x": {"y": 1}})
    first, old, new = run.open["m"], a_ref(run, "m"), a_ref(run, "m")
    run.complete("m", {"x": old})
    lose(run, "c", old)
    assert run.open["m"].input == first.input
    run.complete("m", {"x": new})
    assert run.input("c") == {"x": new}


def test_a_child_that_finds_its_input_lost_is_started_anew_with_what_its_parent_made_again() -> None:
    run = Driver("nodes: {p: {type: x.p}, s: {type: std::subflow, config: {flow: other}}}\nedges: [{from: p, to: s}]")
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    first = run.children["s"].child
    details = {"producers": [{"run": "r1", "activation": list(run.address("p")), "again": True}]}
    run.child_ended("s", status="failed", error=Error("payload_lost", "nowhere", False, details=details))
    run.complete("p", new)
    assert run.children["s"].child != first and payloads.decode(run.children["s"].input) == new
    run.child_ended("s", 1)
    assert run.value == 1


def test_items_of_a_lost_list_are_refs_into_the_new_one() -> None:
    run = Driver(
        "nodes: {p: {type: x.p}, s: {type: std::split, config: {field: $}}, w: {type: x.w}}\nedges: [{from: p, to: s}, {from: s.item, to: w}]"
    )
    old, new = a_ref(run, "p", items=3), a_ref(run, "p", items=3)
    run.complete("p", old)
    lose(run, "w[0]", old)
    run.complete("p", new)
    run.complete("w[0]")
    assert run.input("w[1]") == new.at((1,))
    run.work()
    assert run.ended == "completed"


def test_a_compensation_finds_the_work_that_it_undoes_lost_and_has_it_made_again() -> None:
    run = Driver("nodes: {p: {type: x.p, compensate: u}, c: {type: x.c}, u: {type: x.u}}\nedges: [{from: p, to: c}]")
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    run.fail("c")
    lose(run, "u", old)
    run.complete("p", new)
    assert run.input("u") == new
    run.complete("u")
    assert run.ended == "failed" and run.dispatched("u") == ["u", "u"]


# --- steering meanwhile


def test_cancelling_calls_the_producer_back() -> None:
    run, _ = lost_once()
    run.cancel()
    assert run.ended == "cancelled" and run.all(CancelTask)[-1].attempt == 2


def test_killing_calls_the_producer_back_also_when_a_compensation_waits_for_it() -> None:
    run = Driver("nodes: {p: {type: x.p, compensate: u}, c: {type: x.c}, u: {type: x.u}}\nedges: [{from: p, to: c}]")
    old = a_ref(run, "p")
    run.complete("p", old)
    run.fail("c")
    lose(run, "u", old)
    run.cancel(kill=True)
    assert run.ended == "killed" and not run.open


def test_while_the_run_is_paused_nothing_is_executed_again() -> None:
    run = Driver(CHAIN)
    old = a_ref(run, "p")
    run.complete("p", old)
    run.pause()
    lose(run, "c", old)
    assert not run.open and outstanding(run.run) == []
    run.resume()
    assert list(run.open) == ["p"]
    run.pause()
    run.complete("p", 1)
    assert not run.open
    run.resume()
    assert run.open["c"].attempt == 2


def test_a_scope_that_times_out_gives_the_waiting_up_and_its_next_attempt_begins_anew() -> None:
    run = Driver(
        """
        nodes: {p: {type: x.p}, c: {type: x.c}}
        scopes: {g: {nodes: [p, c], timeout_ms: 1000, retry: {max_attempts: 2, jitter: false}}}
        edges: [{from: p, to: c}]
        """
    )
    old = a_ref(run, "p")
    run.complete("p", old)
    lose(run, "c", old)
    late = run.open["p"]
    run.fire("g", "scope")
    assert not run.open
    run.fire("g", "scope_retry")
    assert run.open["p"].attempt == 3
    ignored = run.ignored
    run.give(Completion("r1", run.now, late.activation, late.attempt, output=payloads.encode(1)))
    assert run.ignored == ignored + 1
    run.complete("p", 1)
    run.complete("c", 2)
    assert run.value == 2


def test_completions_that_come_twice_or_too_late_change_nothing() -> None:
    run, old = lost_once()
    again = run.open["p"]
    run.complete("p", {"table": old, "n": 1})
    before, ignored = digest(run.run), run.ignored
    for task, attempt in ((again, 2), (again, 1), (again, 3), (run.open["c"], 1)):
        run.give(Completion("r1", run.now, task.activation, attempt, output=payloads.encode("late")))
    assert digest(run.run) == before and run.ignored == ignored + 4


def test_a_waiting_run_goes_on_from_its_snapshot_at_any_moment() -> None:
    run = Driver("nodes: {a: {type: x.a}, p: {type: x.p}, c: {type: x.c}}\nedges: [{from: a, to: p}, {from: p, to: c}]")
    source, old = a_ref(run, "a"), a_ref(run, "p")
    steps = [
        lambda: run.complete("a", source),
        lambda: run.complete("p", old),
        lambda: lose(run, "c", old),
        lambda: lose(run, "p", source),
        lambda: run.complete("a", a_ref(run, "a")),
        lambda: run.complete("p", a_ref(run, "p")),
        lambda: run.complete("c", old),
    ]
    for step in steps:
        step()
        restored = restore(run.plan, snapshot(run.run))
        assert digest(restored) == digest(run.run) == digest(fold(run.plan, run.journal, keep=True))
        assert outstanding(restored) == outstanding(run.run)
        run.run = restored
    assert run.ended == "completed" and run.value != old


def test_nothing_of_it_is_left_when_the_consumer_has_ended() -> None:
    run, _ = lost_once()
    run.complete("p", a_ref(run, "p"))
    run.complete("c")
    losses = run.run.rare().losses
    assert losses is not None and not losses.lost and not losses.again
    assert run.dispatched() == ["p", "c", "p", "c", "d"]
