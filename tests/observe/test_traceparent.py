"""The traceparent: what the recommendation allows is read, nothing else is, and a run's span follows from its id."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.observe.traceparent import RANDOM, SAMPLED, TraceParent, parse, run_span

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
PARENTS = st.builds(TraceParent, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 3))


@given(PARENTS)
def test_what_is_written_is_read_back(parent: TraceParent) -> None:
    assert parse(str(parent)) == parent


@given(st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.text("0123456789abcdefABCDEF-", min_size=50, max_size=60)))
def test_garbage_is_no_traceparent_and_no_error(text: object) -> None:
    found = parse(text)
    assert found is None or re.fullmatch(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", str(text))


@given(PARENTS, st.integers(0, 54), st.characters())
def test_one_wrong_character_is_enough(parent: TraceParent, place: int, character: str) -> None:
    text = str(parent)
    changed = text[:place] + character + text[place + 1 :]
    if character not in "0123456789abcdef-":
        assert parse(changed) is None


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f" {GOOD}",
        f"00-{TRACE}-{SPAN}-1",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.replace('4', '٤')}-{SPAN}-01",
        "",
    ],
)
def test_what_the_recommendation_forbids_is_refused(text: str) -> None:
    assert parse(text) is None


def test_of_a_later_version_the_known_part_is_read() -> None:
    for text in (f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-09-what-ever"):
        assert parse(text) == TraceParent(int(TRACE, 16), int(SPAN, 16), SAMPLED)


def test_unknown_flags_are_not_handed_on() -> None:
    assert str(parse(f"00-{TRACE}-{SPAN}-ff")) == f"00-{TRACE}-{SPAN}-03"


@given(st.text(), PARENTS)
def test_a_runs_span_is_in_the_publishers_trace_under_an_id_of_its_own(run: str, publisher: TraceParent) -> None:
    own = run_span(run, str(publisher))
    assert (own.trace_id, own.flags) == (publisher.trace_id, publisher.flags)
    assert own == run_span(run, str(publisher)) == parse(str(own))
    assert own.span_id == run_span(run, "").span_id


@given(st.text(), st.booleans())
def test_a_run_without_a_publishers_trace_begins_one(run: str, sampled: bool) -> None:
    own = run_span(run, "", sampled)
    assert parse(str(own)) == own == run_span(run, "no traceparent", sampled)
    assert own.sampled is sampled and own.flags & RANDOM


def test_the_derived_ids_never_change() -> None:
    """Workers and coordinators of different versions must agree on them."""
    assert str(run_span("orders-0123456789abcdef", "")) == "00-c3e4c3f447ec87f794053fcc2c2a5cf8-847263e512790afb-03"


@given(st.lists(st.text(), min_size=2, max_size=20, unique=True))
def test_different_runs_have_different_spans(runs: list[str]) -> None:
    assert len({run_span(run, GOOD).span_id for run in runs}) == len(runs)
    assert len({run_span(run, "").trace_id for run in runs}) == len(runs)
