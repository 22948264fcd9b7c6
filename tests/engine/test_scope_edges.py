"""Edges from and to scopes: what a scope's end is, and where an edge to a scope enters it."""

from __future__ import annotations

import pytest

from jetfleet.schemas.errors import InvalidFlow

from .driving import Driver, compiled


def test_a_scope_that_ends_with_a_loop_ends_with_the_loop() -> None:
    run = Driver(
        """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, w: {type: x.w}, z: {type: x.z}}
        scopes: {g: {nodes: [l, w]}}
        edges: [{from: l.continue, to: w}, {from: w, to: l}, {from: g, to: z}]
        """
    )
    run.complete("w[0]", 1)
    assert "z" not in run.open
    run.complete("w[1]", 2)
    assert run.input("z") == {"l": 2}


def test_an_error_edge_inside_a_scope_does_not_keep_its_node_from_being_an_end() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, n: {type: x.n}}
        scopes: {s: {nodes: [a, b]}}
        edges: [{from: a.error, to: b}, {from: s, to: n}]
        """
    )
    run.complete("a", 1)
    assert run.input("n") == {"a": 1}


def test_a_port_that_leads_nowhere_inside_is_an_end_of_the_scope() -> None:
    run = Driver(
        """
        nodes: {sw: {type: std::switch, config: {condition: "x > 1"}}, b: {type: x.b}, z: {type: x.z}}
        scopes: {p: {nodes: [sw, b]}}
        edges: [{from: sw.true, to: b}, {from: p, to: z}]
        """,
        {"x": 0},
    )
    assert list(run.open) == ["z"]


def test_the_body_of_a_split_is_represented_by_the_split() -> None:
    run = Driver(
        """
        nodes: {s: {type: std::split, config: {field: $}}, w: {type: x.w}, z: {type: x.z}}
        scopes: {p: {nodes: [s, w]}}
        edges: [{from: s.item, to: w}, {from: p, to: z}]
        """,
        [1, 2],
    )
    run.complete("w[0]", 10)
    run.complete("w[1]", 20)
    assert run.input("z") == {"s": [10, 20]}


def test_an_edge_to_a_scope_enters_a_circle_at_its_head() -> None:
    run = Driver(
        """
        nodes: {t: {type: x.t}, a: {type: x.a}, b: {type: std::switch, config: {condition: "x > 1"}}}
        scopes: {s: {nodes: [a, b]}}
        edges: [{from: t, to: s}, {from: a, to: b}, {from: b.false, to: a, loop_back: true}]
        """
    )
    assert list(run.open) == ["t"]
    run.complete("t", {"x": 0})
    assert list(run.open) == ["a[0]"]


def test_an_edge_to_a_scope_does_not_lead_past_the_scopes_inside_it() -> None:
    run = Driver(
        """
        nodes: {t: {type: x.t}, a: {type: x.a}, n: {type: x.n}, h: {type: x.h}}
        scopes: {outer: {nodes: [inner, n, h]}, inner: {nodes: [a], on_error: h}}
        edges: [{from: t, to: outer}, {from: inner, to: n}]
        """
    )
    run.complete("t", 1)
    assert list(run.open) == ["a"]
    run.complete("a", 2)
    assert list(run.open) == ["n"] and run.status("h") == "skipped"


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ("nodes: {a: {type: x.a, compensate: u}, u: {type: x.u}, c: {type: x.c}}\nedges: [{from: u, to: c}]", "no edge can come from it"),
        (
            "nodes: {a: {type: x.a, compensate: u}, u: {type: x.u}}\nscopes: {s: {nodes: [a], on_error: u}}",
            "it cannot handle the error of scope",
        ),
        (
            """
            nodes: {a: {type: x.a}, m: {type: std::merge, config: {strategy: any}}, c: {type: std::switch, config: {condition: "x > 1"}}}
            edges: [{from: a, to: m}, {from: m, to: c}, {from: c.false, to: m, loop_back: true}]
            """,
            "put an ordinary node in front of it",
        ),
    ],
)
def test_what_could_never_run_as_written_is_refused(flow: str, message: str) -> None:
    with pytest.raises(InvalidFlow, match=message):
        compiled(flow)
