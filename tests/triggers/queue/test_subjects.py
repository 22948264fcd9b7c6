"""Messages on subjects: each goes to every flow with a pattern that matches, once; one that is for nobody is kept with the reason."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jetfleet.broker.api import NobodyListens
from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.coordinator import Coordinator, CoordinatorSettings
from jetfleet.schemas.flow.triggers.queue import matches

from ...client.proxy import Proxy
from ...fleet.fleets import fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .places import listening, meta, payload, raw, run_on, there


def test_flows_with_overlapping_patterns_each_get_a_message_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(
                listening("created", {"subjects": "shop.*.created"}),
                listening("europe", {"subjects": ["shop.eu.>", "shop.*.created"]}),
                listening("other", {"subject": "bank.>"}),
            )
            for n in range(20):
                await one.client.publish("shop.eu.created", {"n": n}, id=f"eu-{n}", key="k", headers={"Source": "till"})
                await one.client.publish("shop.us.created", {"n": n}, id=f"us-{n}")
            await one.client.publish("shop.eu.sold.out", None, id="sold")
            runs = [
                run_on(flow, f"shop.{place}.created", f"{place}-{n}")
                for flow in ("created", "europe")
                for place in ("eu", "us")
                for n in range(20)
            ]
            runs.append(run_on("europe", "shop.eu.sold.out", "sold"))
            await one.log.ended(*runs)
            await one.quiet()
            assert one.log.begun == set(runs) and not one.log.letters
            assert sum(each.counters.runs_started for each in one.coordinators) == len(runs)
            about = meta(one, run_on("created", "shop.eu.created", "eu-3"))
            assert (about["subject"], about["key"], about["headers"]["Source"]) == ("shop.eu.created", "k", "till")

    run(test())


def test_a_message_for_nobody_is_kept_and_goes_to_a_flow_that_listens_later(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            with pytest.raises(NobodyListens, match=r"shop\.eu\.created"):
                await one.client.publish("shop.eu.created", 1)
            await one.deploy(listening("bank", {"subjects": "bank.>"}))
            await there(one.client.connection, "INBOX")
            await one.client.connection.request("on.shop.eu.created", b'{"n": 1}')
            await one.log.until(lambda: bool(one.log.letters), "a dead letter")
            (letter,) = one.log.letters
            assert (letter.code, letter.subject, letter.data) == ("NO_FLOW", "on.shop.eu.created", b'{"n": 1}')
            await one.deploy(listening("shop", {"subjects": "shop.>"}))
            await one.client.publish("shop.eu.sold", 1, id="now")
            await one.log.ended(run_on("shop", "shop.eu.sold", "now"))
            assert one.log.begun == {run_on("shop", "shop.eu.sold", "now")}, "what was before is not taken by itself"
            (dead,) = await one.client.dead_letters()
            await one.client.redrive(dead.seq)
            again = run_on("shop", "shop.eu.created", f"redrive-{dead.seq}")
            await one.log.ended(again)
            assert payload(one, again) == {"n": 1}

    run(test())


def test_bare_json_from_any_program_and_a_bad_one_beside_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"subjects": "shop.*.created"}, inputs={"type": "object", "required": ["id"]}))
            connection = one.client.connection
            await there(connection, "INBOX")
            await raw(connection, "on.shop.eu.created", b'{"id": 1}', "good")
            await raw(connection, "on.shop.eu.created", b"{", "broken")
            await raw(connection, "on.shop.eu.created", b"{}", "unfit")
            await one.log.ended(run_on("shop", "shop.eu.created", "good"))
            await one.log.until(lambda: len(one.log.letters) == 2, "two dead letters")
            assert {letter.code for letter in one.log.letters} == {"UNREADABLE_EVENT", "EVENT_REJECTED"}
            assert payload(one, run_on("shop", "shop.eu.created", "good")) == {"id": 1} and len(one.log.begun) == 1

    run(test())


def test_a_paused_flows_messages_wait_while_others_get_theirs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"subjects": "shop.>"}), listening("audit", {"subjects": ">"}))
            await one.client.pause_trigger("shop", "in")
            await until(lambda: one.coordinators[0].flows.trigger_state("shop", "in").state == "paused", "the coordinator to know")
            await one.client.publish("shop.eu.created", 1, id="m")
            await one.log.ended(run_on("audit", "shop.eu.created", "m"))
            assert one.log.begun == {run_on("audit", "shop.eu.created", "m")}
            await one.client.resume_trigger("shop", "in")
            await one.log.ended(run_on("shop", "shop.eu.created", "m"))

    run(test())


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c", "a.b.c.d"]),
        ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
        ("a.b", ["a.b"], ["a", "a.b.c", "a.c"]),
        (">", ["a", "a.b"], []),
        ("*", ["a"], ["a.b"]),
    ],
)
def test_a_pattern_stands_for_the_subjects_that_nats_says(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [subject for subject in yes + no if matches(pattern, subject)] == yes


def test_one_id_on_two_subjects_is_two_messages(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"subjects": "shop.>"}))
            for subject in ("shop.created", "shop.paid", "shop.created"):
                await one.client.publish(subject, subject, id="order-7")
            await one.log.ended(run_on("shop", "shop.created", "order-7"), run_on("shop", "shop.paid", "order-7"))
            await one.quiet()
            assert len(one.log.begun) == 2

    run(test())


def test_a_flow_that_was_deployed_while_a_coordinator_was_cut_off_gets_what_was_sent_then(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            fleet(fresh_url, tmp_path, coordinators=0) as one,
            Proxy(urlsplit(fresh_url).port or 0) as proxy,
            await Connection.open(proxy.url, name="cut") as cut,
            await Connection.open(fresh_url, name="control") as control,
        ):
            coordinator = Coordinator(cut, control, CoordinatorSettings())
            await coordinator.start()
            try:
                await one.deploy(listening("first", {"subjects": "shop.>"}))
                await there(one.client.connection, "INBOX")
                await one.client.publish("shop.x", 0, id="before")
                await one.log.ended(run_on("first", "shop.x", "before"))
                proxy.shut()
                await one.deploy(listening("second", {"subjects": "shop.>"}))
                for n in range(20):
                    await one.client.publish("shop.x", n, id=f"m{n}")
                proxy.reopen()
                await one.log.ended(*(run_on(flow, "shop.x", f"m{n}") for flow in ("first", "second") for n in range(20)))
            finally:
                await coordinator.stop()

    run(test(), 60)
