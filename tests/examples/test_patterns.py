"""The workflow control-flow patterns, one test each: the example is run, and what defines the pattern is asserted."""

from __future__ import annotations

from itertools import pairwise

import pytest

from .stage import overlap, play, signal

# --- basic control flow


def test_1_sequence_starts_each_step_when_the_one_before_has_ended() -> None:
    run = play("01_sequence")
    assert [run.time(step) for step in ("pick", "pack", "ship")] == [(0, 300), (300, 500), (500, 600)]


def test_2_parallel_split_does_both_at_the_same_time() -> None:
    run = play("02_parallel_split")
    assert overlap(run.time("invoice"), run.time("parcel"))
    assert run.duration == 50 + 300


@pytest.mark.parametrize("event", [{"invoice_ms": 300, "parcel_ms": 100}, {"invoice_ms": 100, "parcel_ms": 300}])
def test_3_synchronization_waits_for_the_slower_one_and_goes_on_once(event: dict[str, int]) -> None:
    run = play("03_synchronization", event)
    assert run.time("archive")[0] == 300
    assert list(run.value("both")) == ["invoice", "parcel"]


@pytest.mark.parametrize(("amount", "chosen", "other"), [(10_001, "examine", "pay"), (10_000, "pay", "examine")])
def test_4_exclusive_choice_goes_exactly_one_way(amount: int, chosen: str, other: str) -> None:
    run = play("04_exclusive_choice", {"amount": amount})
    assert (run.of(chosen), run.of(other)) == ("completed", "skipped")


@pytest.mark.parametrize(("event", "paid_by"), [({"card": "4111"}, "card"), ({}, "invoice")])
def test_5_simple_merge_hands_on_what_comes_without_waiting_for_the_other(event: dict[str, str], paid_by: str) -> None:
    run = play("05_simple_merge", event)
    assert run.value("ship") == {"paid_by": paid_by}
    assert run.nodes["ship"].attempts == 1


# --- branching and synchronization


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        ({"fire": True, "injured": 2, "kind": "crime"}, {"fire_brigade", "ambulance", "police"}),
        ({"fire": True, "injured": 2}, {"fire_brigade", "ambulance"}),
        ({"injured": 1}, {"ambulance"}),
        ({}, set()),
    ],
)
def test_6_multi_choice_goes_any_number_of_ways(event: dict[str, object], sent: set[str]) -> None:
    run = play("06_multi_choice", event)
    assert {name for name in ("fire_brigade", "ambulance", "police") if run.of(name) == "completed"} == sent
    assert run.status == "completed"


@pytest.mark.parametrize(
    ("event", "confirmed_at"),
    [({"hotel_ms": 300, "flight_ms": 100}, 300), ({"car_ms": 50}, 50), ({"hotel_ms": 10, "flight_ms": 20, "car_ms": 30}, 30)],
)
def test_7_structured_synchronizing_merge_waits_for_the_chosen_ways_only(event: dict[str, int], confirmed_at: int) -> None:
    run = play("07_structured_synchronizing_merge", event)
    assert run.time("confirm")[0] == confirmed_at
    assert len(run.value("booked")) == len(event)


def test_8_multi_merge_runs_what_follows_once_per_arrival_without_waiting() -> None:
    run = play("08_multi_merge")
    first, second = run.time("check_roof_tiles"), run.time("check_foundations")
    assert first == (100, 150)
    assert second == (300, 350)


@pytest.mark.parametrize("quickest", ["heart", "lungs", "blood"])
def test_9_structured_discriminator_lets_the_first_through_and_ignores_the_others(quickest: str) -> None:
    event = {"heart_ms": 300, "lungs_ms": 300, "blood_ms": 300, f"{quickest}_ms": 100}
    run = play("09_structured_discriminator", event)
    assert run.value("first_finding")["who"] == quickest
    assert run.time("triage")[0] == 100
    assert {run.of(name) for name in ("heart", "lungs", "blood")} == {"completed"}
    assert run.nodes["triage"].attempts == 1
    assert run.duration == 300


@pytest.mark.parametrize(("pages", "rounds", "end"), [(1, 3, "publish"), (4, 1, "publish"), (60, 1, "abandon")])
def test_10_arbitrary_cycles_can_be_left_in_the_middle(pages: int, rounds: int, end: str) -> None:
    run = play("10_arbitrary_cycles", {"pages": pages})
    assert len(run.items("draft")) == rounds
    assert {name for name in ("publish", "abandon") if run.of(name) == "completed"} == {end}


def test_28_blocking_discriminator_begins_no_round_before_the_last_one_is_in() -> None:
    run = play("28_blocking_discriminator")
    assert [run.time(f"act[{n}]")[0] for n in (0, 1)] == [100, 600]
    assert run.time("fast[1]")[0] == run.time("slow[0]")[1] == 500


@pytest.mark.parametrize("quickest", ["north", "south", "west"])
def test_29_cancelling_discriminator_calls_the_others_off(quickest: str) -> None:
    run = play("29_cancelling_discriminator", {"north_ms": 300, "south_ms": 300, "west_ms": 300, f"{quickest}_ms": 100})
    others = {"north", "south", "west"} - {quickest}
    assert {run.of(name) for name in others} == {"cancelled"}
    assert run.time("order")[0] == run.duration == 100


def test_30_structured_partial_join_goes_on_with_the_second_and_ignores_the_third() -> None:
    run = play("30_structured_partial_join", {"ann_ms": 300, "bob_ms": 100, "eve_ms": 200})
    assert run.time("decide")[0] == 200
    assert list(run.value("majority")) == ["bob", "eve"]
    assert run.of("ann") == "completed"
    assert run.duration == 300


def test_31_blocking_partial_join_begins_no_round_before_the_last_one_is_in() -> None:
    run = play("31_blocking_partial_join")
    assert [run.time(f"act[{n}]")[0] for n in (0, 1)] == [200, 700]
    assert run.time("bob[1]")[0] == run.time("ann[0]")[1] == 500


def test_32_cancelling_partial_join_calls_the_rest_off() -> None:
    run = play("32_cancelling_partial_join", {"ann_ms": 300, "bob_ms": 100, "eve_ms": 200})
    assert run.time("decide")[0] == run.duration == 200
    assert run.of("ann") == "cancelled"


def test_33_generalised_and_join_keeps_what_comes_too_often_for_the_next_time() -> None:
    deliveries = {10: signal("bread", "rye"), 20: signal("bread", "white"), 30: signal("cheese", "gouda"), 40: signal("cheese", "brie")}
    run = play("33_generalised_and_join", None, deliveries)
    made = [{name: run.value(f"make[{n}]")[name]["response"] for name in ("bread", "cheese")} for n in (0, 1)]
    assert made == [{"bread": "rye", "cheese": "gouda"}, {"bread": "white", "cheese": "brie"}]


def test_33_generalised_and_join_does_not_fire_on_two_of_one_kind() -> None:
    run = play("33_generalised_and_join", None, {10: signal("bread"), 20: signal("bread")})
    assert run.status == "cancelled"  # nobody brought cheese
    assert run.items("make") == []


@pytest.mark.parametrize(
    ("event", "departed_at"),
    [({}, 100), ({"insured": True}, 300), ({"abroad": True}, 500), ({"insured": True, "abroad": True}, 500)],
)
def test_37_local_synchronizing_merge_waits_for_the_ways_that_can_still_come(event: dict[str, bool], departed_at: int) -> None:
    assert play("37_local_synchronizing_merge", event).time("depart")[0] == departed_at


@pytest.mark.parametrize(("leak", "closed_at", "ways"), [(1, 400, ["leak", "paperwork"]), (9, 600, ["paperwork"])])
def test_38_general_synchronizing_merge_waits_as_long_as_a_way_could_come(leak: int, closed_at: int, ways: list[str]) -> None:
    run = play("38_general_synchronizing_merge", {"leak_in_round": leak})
    assert run.time("close")[0] == closed_at
    assert list(run.value("result")) == ways


def test_41_thread_merge_makes_one_of_all_threads() -> None:
    run = play("41_thread_merge", {"boxes": [1, 2, 3]})
    assert len(run.items("unpack")) == 3
    assert [key for key in run.nodes if key.startswith("tidy_up")] == ["tidy_up"]
    assert run.time("tidy_up")[0] == 200


def test_42_thread_split_sends_several_threads_the_same_way() -> None:
    run = play("42_thread_split", {"pupil": "Ada"})
    assert run.items("enter_mark") == ["enter_mark[0]", "enter_mark[1]", "enter_mark[2]"]
    assert overlap(run.time("mark[0]"), run.time("mark[2]"))


# --- multiple instances


def test_12_instances_without_synchronization_hold_nobody_up() -> None:
    run = play("12_instances_without_synchronization", {"guests": ["Ada", "Grace", "Edsger"]})
    assert len(run.items("remind")) == 3
    assert run.time("plan_evening") == (0, 100)
    assert all(run.time(item)[1] == 500 for item in run.items("remind"))


def test_13_instances_known_at_design_time_are_always_as_many() -> None:
    run = play("13_instances_known_at_design_time")
    assert len(run.items("sign")) == 3
    assert overlap(run.time("sign[0]"), run.time("sign[2]"))
    assert run.time("file")[0] == 200


@pytest.mark.parametrize("count", [0, 1, 5])
def test_14_instances_known_at_run_time_are_as_many_as_the_event_says(count: int) -> None:
    run = play("14_instances_known_at_run_time", {"lines": ["mug"] * count})
    assert len(run.items("check_stock")) == count
    assert run.time("confirm")[0] == (200 if count else 0)


def test_15_instances_not_known_beforehand_are_made_by_instances_and_all_waited_for() -> None:
    web = {"home": ["news", "shop"], "shop": ["mugs", "pens"], "pens": ["red"]}
    run = play("15_instances_not_known", {"name": "home", "web": web})
    below = {
        "home": {"news": {}, "shop": {"mugs": {}, "pens": {"red": {}}}},
    }
    assert tree([run.output]) == below
    assert run.duration == 4 * 100


def tree(pages: list[dict[str, object]]) -> dict[str, object]:
    return {str(page["page"]): tree(page["below"]) for page in pages}  # type: ignore[arg-type]


SUPPLIERS = {"suppliers": [{"ms": 400}, {"ms": 100}, {"ms": 300}, {"ms": 200}]}


def test_34_static_partial_join_goes_on_with_the_second_instance_and_ignores_the_others() -> None:
    run = play("34_static_partial_join", SUPPLIERS)
    assert run.time("choose")[0] == 200
    assert len(run.items("offer")) == 4
    assert run.duration == 400


def test_35_cancelling_partial_join_calls_the_other_instances_off() -> None:
    run = play("35_cancelling_partial_join", SUPPLIERS)
    assert run.time("choose")[0] == run.duration == 200
    assert run.items("offer") == ["offer[1]", "offer[3]"]
    assert run.items("offer", "cancelled") == ["offer[0]", "offer[2]"]


def test_36_dynamic_partial_join_ends_as_soon_as_an_instance_fulfils_its_condition() -> None:
    web = {"home": ["news", "shop"], "shop": ["mugs"], "mugs": ["cups"]}
    run = play("36_dynamic_partial_join", {"name": "home", "wanted": "mugs", "web": web})
    assert [run.value(page)["page"] for page in run.items("page")] == ["home", "news", "shop", "mugs"]
    assert run.of("search") == "cancelled"
    assert run.time("report")[0] == run.duration == 300  # `cups` would have been read until 400


def test_36_dynamic_partial_join_ends_with_the_last_instance_if_none_fulfils_it() -> None:
    run = play("36_dynamic_partial_join", {"name": "home", "wanted": "nothing", "web": {"home": ["news"]}})
    assert run.of("search") == run.of("report") == "completed"


# --- state-based


@pytest.mark.parametrize(("first", "then", "other"), [("customer_called", "talk", "write"), ("letter_arrived", "write", "talk")])
def test_16_deferred_choice_is_made_by_what_comes_first(first: str, then: str, other: str) -> None:
    second = {"customer_called": "letter_arrived", "letter_arrived": "customer_called"}[first]
    run = play("16_deferred_choice", None, {10: signal(first, {"about": "it"}), 20: signal(second)})
    assert (run.of(then), run.of(other)) == ("completed", "skipped")
    assert sorted([run.of("call"), run.of("letter")]) == ["cancelled", "completed"]


@pytest.mark.parametrize(
    ("wish", "order"),
    [
        (["drive", "sleep", "eye_test", "blood_test"], ["sleep", "drive", "blood_test", "eye_test"]),
        (["eye_test", "drive", "blood_test", "sleep"], ["blood_test", "eye_test", "sleep", "drive"]),
        (["blood_test", "sleep", "drive", "eye_test"], ["blood_test", "sleep", "drive", "eye_test"]),
    ],
)
def test_17_interleaved_parallel_routing_keeps_to_the_partial_order_one_at_a_time(wish: list[str], order: list[str]) -> None:
    run = play("17_interleaved_parallel_routing", {"wish": wish})
    done = [run.items(step) for step in order]
    assert [len(items) for items in done] == [1, 1, 1, 1]
    times = [run.time(items[0]) for items in done]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))
    assert run.output == {"order": order}


def test_18_milestone_allows_a_change_while_it_holds() -> None:
    run = play("18_milestone", None, {1_000: signal("paid"), 2_000: signal("change_seat", {"seat": "12A"})})
    assert run.of("change_seat") == "completed"


def test_18_milestone_allows_nothing_before_it_is_reached() -> None:
    run = play("18_milestone", None, {1_000: signal("change_seat", {"seat": "12A"})})
    assert run.of("change_asked") == "skipped"


def test_18_milestone_allows_nothing_after_it_has_expired() -> None:
    run = play("18_milestone", None, {1_000: signal("paid"), 1_000 + 3_600_001: signal("change_seat", {"seat": "12A"})})
    assert (run.of("change_asked"), run.of("change_seat"), run.of("board")) == ("cancelled", "skipped", "completed")


def test_39_critical_section_is_entered_by_one_at_a_time() -> None:
    run = play("39_critical_section", {"ships": ["Aurora", "Borealis", "Cygnus"]})
    assert overlap(run.time("moor[0]"), run.time("moor[1]"))
    crane = sorted(run.time(item) for item in run.items("crane"))
    assert crane == [(300, 1300), (1300, 2300), (2300, 3300)]


@pytest.mark.parametrize("order", [["x_ray", "blood"], ["blood", "x_ray"]])
def test_40_interleaved_routing_does_each_once_in_any_order_and_one_at_a_time(order: list[str]) -> None:
    run = play("40_interleaved_routing", {"order": order})
    first, second = (run.time(f"{name}[{n}]") for n, name in enumerate(order))
    assert [len(run.items(name)) for name in order] == [1, 1]
    assert first[1] <= second[0]
    assert run.time("discuss")[0] == second[1]


# --- cancellation and force completion


def test_19_cancel_task_ends_that_work_and_nothing_else() -> None:
    run = play("19_cancel_task", None, {5_000: signal("call_off")})
    assert run.of("search") == "cancelled"
    assert run.time("report")[0] == 5_000
    assert run.time("file_work") == (0, 25_000)
    assert run.status == "completed"


def test_20_cancel_case_ends_everything_and_undoes_what_was_completed() -> None:
    run = play("20_cancel_case", None, {5_000: lambda run: run.cancel("the customer changed her mind")})
    assert run.status == "cancelled"
    assert run.result.error is not None and run.result.error.message == "the customer changed her mind"
    assert {name: run.of(name) for name in ("check_income", "value_house", "sign", "release_money")} == {
        "check_income": "cancelled",
        "value_house": "cancelled",
        "sign": "skipped",
        "release_money": "completed",
    }
    assert run.duration == 5_000


def test_25_cancel_region_withdraws_what_runs_what_waits_and_what_has_not_begun() -> None:
    run = play("25_cancel_region", {"visa_refused_after_ms": 1_000})
    assert (run.of("hotel"), run.of("boss_agrees"), run.of("voucher")) == ("cancelled", "cancelled", "skipped")
    assert run.time("stay_home")[0] == 1_000
    assert run.time("read_guidebook") == (0, 25_000)
    assert run.status == "completed"


def test_26_cancel_multiple_instances_keeps_those_that_have_ended() -> None:
    run = play("26_cancel_multiple_instances", {"people": [1, 2, 3, 4, 5, 6]}, {2_500: signal("stop")})
    assert run.items("interview") == ["interview[0]", "interview[1]", "interview[2]", "interview[3]"]
    assert run.items("interview", "cancelled") == ["interview[4]", "interview[5]"]
    assert (run.of("evaluate"), run.of("apologise")) == ("skipped", "completed")


def test_26_cancel_multiple_instances_changes_nothing_when_nobody_cancels() -> None:
    run = play("26_cancel_multiple_instances", {"people": [1, 2]})
    assert (run.of("evaluate"), run.of("apologise"), run.of("stop")) == ("completed", "skipped", "cancelled")


def test_27_complete_multiple_instances_goes_on_as_if_all_had_ended() -> None:
    run = play("27_complete_multiple_instances", {"people": [1, 2, 3, 4, 5, 6]}, {2_500: signal("enough")})
    assert len(run.items("interview")) == 4
    assert run.time("evaluate")[0] == run.duration == 2_500


# --- iteration


@pytest.mark.parametrize(("grains", "rounds", "result"), [(3, 3, 24), (10, 1, 20), (50, 0, 50)])
def test_21_structured_loop_tests_before_each_round(grains: int, rounds: int, result: int) -> None:
    run = play("21_structured_loop", {"grains": grains})
    assert len(run.items("double")) == rounds
    assert run.output == {"grains": result}


@pytest.mark.parametrize(("n", "result"), [(1, 1), (5, 120), (10, 3_628_800)])
def test_22_recursion_comes_back_with_what_the_inner_runs_gave(n: int, result: int) -> None:
    assert play("22_recursion", {"n": n}).output == {"result": result}


# --- termination


def test_11_implicit_termination_is_when_nothing_is_left_to_do() -> None:
    run = play("11_implicit_termination")
    assert run.status == "completed"
    assert run.duration == run.time("deliver")[1] == 900


def test_43_explicit_termination_ends_the_run_successfully_and_calls_the_rest_off() -> None:
    run = play("43_explicit_termination", {"found_after_ms": 1_000})
    assert run.status == "completed"
    assert (run.of("call_friends"), run.of("call_police")) == ("cancelled", "skipped")
    assert run.duration == 1_000


# --- triggers


def test_23_transient_trigger_is_lost_when_nobody_waits() -> None:
    run = play("23_transient_trigger", {"busy_ms": 5_000, "ring_after_ms": 1_000})
    assert (run.of("open_door"), run.of("nobody_came")) == ("skipped", "completed")


def test_23_transient_trigger_is_heard_by_who_waits() -> None:
    run = play("23_transient_trigger", {"busy_ms": 1_000, "ring_after_ms": 5_000})
    assert (run.of("open_door"), run.of("nobody_came")) == ("completed", "skipped")
    assert run.duration == 5_000


@pytest.mark.parametrize("moment", [0, 1_000, 20_000])
def test_24_persistent_trigger_is_kept_until_somebody_waits(moment: int) -> None:
    run = play("24_persistent_trigger", None, {moment: signal("paid", {"amount": 12})})
    assert run.of("ship") == "completed"
    assert run.value("ship")["response"] == {"amount": 12}
