"""A source that keeps failing is left alone for longer and longer, and one that was well comes back soon."""

from __future__ import annotations

from jetfleet.broker.triggers.pauses import BROKEN_S, FIRST_S, LIVED_S, MAX_S, SPREAD, Pauses


def about(found_s: float, wanted_s: float) -> bool:
    return (1 - SPREAD) * wanted_s <= found_s <= (1 + SPREAD) * wanted_s


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_source_that_was_well() -> None:
    pauses = Pauses()
    for times in range(12):
        assert about(pauses.after(0), min(MAX_S, FIRST_S * 2**times))
    assert about(pauses.after(LIVED_S + 1), FIRST_S)
    assert about(pauses.after(0), 2 * FIRST_S)


def test_what_somebody_has_to_mend_first_is_not_tried_at_once() -> None:
    pauses = Pauses()
    assert about(pauses.after(0, broken=True), BROKEN_S)
    assert about(pauses.after(0), 2 * FIRST_S)


def test_sources_that_fail_together_do_not_come_back_together() -> None:
    assert len({Pauses().after(0) for _ in range(20)}) > 10
