"""What a process says of its triggers with its heartbeats: short, the failing ones first, and readable for other versions."""

from __future__ import annotations

import msgspec

from jetfleet.broker.triggers.serving import SERVED, TEXT_MAX, TOLD_MAX, TYPES, UNTOLD, Serving, heard, serves, told

ONE = Serving("orders", "web", "webhook", "listening", 3, 1, 0, 2, 1_700_000_000_000, "POST /orders", "")


def test_what_is_told_is_heard_as_it_was() -> None:
    facts = msgspec.msgpack.decode(msgspec.msgpack.encode(told([ONE], ("webhook",))))
    assert heard(facts) == [ONE]
    assert facts[UNTOLD] == 0


def test_many_triggers_and_long_words_stay_short_and_what_fails_is_told_first() -> None:
    many = [Serving("f", str(n), "kafka", "listening", detail="x" * 9_999) for n in range(1_000)]
    many.append(Serving("f", "bad", "kafka", "failing", error="y" * 9_999))
    facts = told(many, ("kafka",))
    assert [each.trigger for each in heard(facts)][:2] == ["bad", "0"]
    assert (len(facts[SERVED]), facts[UNTOLD]) == (TOLD_MAX, 1_001 - TOLD_MAX)
    assert len(msgspec.msgpack.encode(facts)) < TOLD_MAX * (TEXT_MAX + 100)


def test_of_a_long_error_the_end_is_told_which_says_what_to_do() -> None:
    error = f"SECRET_MISSING: {'x' * 2_000}: put it into the file /run/secrets/shop"
    (told_of,) = heard(told([Serving("f", "t", "webhook", "failing", error=error)], ("webhook",)))
    assert told_of.error.startswith("SECRET_MISSING: xxx") and told_of.error.endswith("the file /run/secrets/shop")
    assert len(told_of.error) <= TEXT_MAX


def test_facts_of_other_versions_are_read_as_far_as_they_can_be() -> None:
    newer, older = [*ONE.fact(), "more", 7], ONE.fact()[:5]
    strange = [7, [], ["f", "t", "kafka", 7], ["f", "t", "kafka", "listening", "many"], None]
    assert heard({SERVED: [newer, older, *strange]}) == [ONE, Serving("orders", "web", "webhook", "listening", 3)]
    assert heard({}) == heard({SERVED: None}) == []


def test_who_serves_a_type_of_some_flows_serves_no_other_flow() -> None:
    assert serves(told([], ("webhook",)), "any", "webhook")
    assert not serves(told([], ("webhook",)), "any", "kafka")
    assert not serves(told([], ("webhook",), ("orders",)), "other", "webhook")
    assert not serves({TYPES: None}, "any", "webhook")
