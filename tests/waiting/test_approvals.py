"""Approvals on a fleet: who is asked, who answers first, and that neither a crash nor a second answer changes what was decided."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import Decided, Pending, UnknownRun
from jetfleet.broker.api.approval_errors import AlreadyAnswered, NotWaiting, TokenExpired, TokenUsed
from jetfleet.broker.api.errors import RunEnded
from jetfleet.broker.client import Connection
from jetfleet.broker.tokens import RotatedLately, TokenInvalid
from jetfleet.broker.waiting import SignalRejected
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import SignalReceived, TimerFired

from ..fleet.fleets import Fleet, coordinator_process, fleet, flow
from ..fleet.running import run
from .asking import LIMIT, approval, output, pending


def test_what_waits_is_listed_and_the_first_answer_goes_on_to_the_next_node(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            asks = approval(assignees="${go.boss}", metadata_fields=["amount"], schema=LIMIT, timeout_secs=3600)
            await one.deploy(asks, approval("other", assignees=["ann", "bo"]))
            id = await one.client.send("ask", {"boss": "ann", "amount": 9})
            other = await one.client.send("other", {"boss": "ann", "amount": 9})
            await pending(one, 2)

            for_bo = await pending(one, 1, assignee="bo")
            (asked,) = await pending(one, 1, assignee="ann", flow="ask")
            assert [each.run for each in for_bo] == [other]
            assert (asked.run, asked.node, asked.name, asked.assignees, asked.metadata) == (id, "ask", "ok", ("ann",), {"amount": 9})
            assert asked.schema == LIMIT and asked.due is not None
            assert await pending(one, 0, name="another") == await pending(one, 0, kind="signal") == []

            with pytest.raises(SignalRejected, match=r'in the response: limit: "high" is not of type "number"'):
                await one.client.answer(asked, "approve", response={"limit": "high"})
            with pytest.raises(SignalRejected, match="decision` is approve, reject or escalate"):
                await one.client.decide(id, "ok", "perhaps")
            assert one.log.of(id, SignalReceived) == []

            found = await one.client.answer(asked, "approve", response={"limit": 5}, reason="known", by="ann")
            assert found == Decided(id, "ok", "approve", "ann", found.at, "known")
            with pytest.raises((AlreadyAnswered, RunEnded), match="approve"):
                await one.client.answer(asked, "reject")
            said = await output(one, id)
            assert said == {
                "input": {"boss": "ann", "amount": 9}, "decision": "approve", "response": {"limit": 5}, "reason": "known",
                "timed_out": False, "by": "ann", "answered_at": found.at,
            }  # fmt: skip
            (record,) = one.log.of(id, SignalReceived)
            assert decode(record.payload)["by"] == "ann"

    run(test())


def test_of_sixteen_answers_at_once_one_counts_and_the_others_are_told(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval())
            id = await one.client.send("ask", 1)
            (asked,) = await pending(one)
            answers = [one.client.answer(asked, ("approve", "reject")[n % 2], by=f"p{n}", id=f"a{n}") for n in range(16)]
            found = Counter[str]()
            winner = ""
            for said in await asyncio.gather(*answers, return_exceptions=True):
                found[type(said).__name__] += 1
                winner = said.by if isinstance(said, Decided) else winner
                assert isinstance(said, (Decided, AlreadyAnswered)), said
            assert found == {"Decided": 1, "AlreadyAnswered": 15}
            assert (await output(one, id))["by"] == winner
            again = await one.client.answer(asked, "approve", by="x", id=f"a{winner[1:]}")
            assert again.by == winner, "the same id again is the same answer"

    run(test())


def test_a_token_is_good_for_one_answer_to_one_wait(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            nodes = {"a": {"type": "std::wait", "config": {"hook_id": "ok"}}, "b": {"type": "std::wait", "config": {"hook_id": "ok"}}}
            await one.deploy(flow("twice", nodes), approval("late", timeout_ms=1), approval())
            id = await one.client.send("twice", 1)
            (first,) = await pending(one)
            token = await one.client.token(first)
            for forged in (token[:-1], token[:-2] + "AA", token.replace("jfa1", "jfa2"), "", "a.b", token + ".x"):
                with pytest.raises(TokenInvalid):
                    await one.client.answer(forged, "approve")
            await one.client.answer(token, "approve", by="ann")
            with pytest.raises(TokenUsed, match=r"by ann .*: approve"):
                await one.client.answer(token, "reject")
            (second,) = await pending(one)
            assert (second.node, second.name) == ("b", "ok") and await one.client.token(second) != token
            await one.client.cancel(id)
            await one.log.ended(id)
            with pytest.raises(RunEnded, match="cancelled"):
                await one.client.answer(await one.client.token(second), "approve")
            assert len(one.log.of(id, SignalReceived)) == 1, "nothing that was refused is in the log"

            late = await one.client.send("late", 1)
            assert (await output(one, late))["timed_out"]
            (fired,) = one.log.of(late, TimerFired)
            gone = Pending(late, "late", "ask", "approval", "ok", (), {}, None, None, 1, fired.timer.activation)
            with pytest.raises(TokenExpired, match="the timeout decided reject"):
                await one.client.answer(await one.client.token(gone), "approve")

    run(test())


def test_tokens_survive_one_rotation_of_their_secret(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval())
            id = await one.client.send("ask", 1)
            (asked,) = await pending(one)
            old = await one.client.token(asked)
            await one.client.rotate_tokens()
            with pytest.raises(RotatedLately):
                await one.client.rotate_tokens()
            assert await one.client.token(asked) != old
            await one.client.answer(old, "escalate")
            assert (await output(one, id))["decision"] == "escalate"

    run(test())


def test_a_notice_tells_whom_to_ask_and_its_token_stands_in_no_log(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval(assignees=["ann"], metadata_fields=["n"], schema=LIMIT))
            id = await one.client.send("ask", {"n": 1})
            await pending(one)
            await one.quiet()
            (notice,) = [each async for each in one.client.connection.streams.read(subjects.APPROVALS)]
            said = json.loads(notice.data)
            token = said.pop("token")
            assert notice.subject == "approval.ask" and notice.headers["Nats-Msg-Id"] == f"{id}/1"
            assert said == {
                "run": id, "flow": "ask", "node": "ask", "hook": "ok", "assignees": ["ann"], "metadata": {"n": 1}, "due": None, "schema": LIMIT,
            }  # fmt: skip
            await one.client.answer(token, "approve", response={"limit": 1}, by="ann")
            await output(one, id)
            for stream in (subjects.wal_stream(0), subjects.wal_stream(1), subjects.HISTORY):
                assert not any([token.encode() in each.data async for each in one.client.connection.streams.read(stream)])

    run(test())


def test_who_answers_what_does_not_wait_is_told_why(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval())
            id = await one.client.send("ask", 1)
            await pending(one)
            with pytest.raises(NotWaiting, match="no approval 'okay' now; it waits for 'ok'"):
                await one.client.decide(id, "okay", "approve")
            await one.client.decide(id, "ok", "approve")
            await one.log.ended(id)
            with pytest.raises(RunEnded, match="completed"):
                await one.client.decide(id, "ok", "approve")
            with pytest.raises((UnknownRun, JetfleetError)):
                await one.client.decide("ask-never", "ok", "approve")

    run(test())


@pytest.mark.parametrize(("action", "decision"), [("approve", "approve"), ("reject", "reject"), ("escalate", "escalate")])
def test_nobody_in_time_takes_the_action_of_the_timeout(nats_url: str, fresh_url: str, tmp_path: Path, action: str, decision: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval(timeout_ms=1, timeout_action=action))
            said = await output(one, await one.client.send("ask", {"n": 1}))
            assert (said["decision"], said["timed_out"], said["by"], said["input"]) == (decision, True, None, {"n": 1})

    run(test())


def test_a_killed_owner_forgets_nobody_who_waits_and_no_answer(fresh_url: str, tmp_path: Path) -> None:
    """Killed between the wait and the answer, and again right behind the answer."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0, coordinators=0) as one:
            with coordinator_process(fresh_url, tmp_path / "first") as first:
                await one.deploy(approval(assignees="${go.boss}"))
                runs = [await one.client.send("ask", {"boss": f"p{n}"}) for n in range(20)]
                await pending(one, 20)
                first.kill()
            with coordinator_process(fresh_url, tmp_path / "second") as second:
                asked = await pending(one, 20)
                assert {each.run for each in asked} == set(runs)
                (mine,) = await pending(one, 1, assignee="p7")
                await one.client.answer(mine, "approve", by="p7")
                second.kill()
            with coordinator_process(fresh_url, tmp_path / "third"):
                assert (await output(one, runs[7]))["by"] == "p7"
                assert len(await pending(one, 19)) == 19
                with pytest.raises((AlreadyAnswered, RunEnded)):
                    await one.client.answer(mine, "reject")
                assert len(one.log.of(runs[7], SignalReceived)) == 1

    run(test(), 60)


def test_runs_that_rest_are_listed_page_by_page_and_stay_at_rest(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(approval(assignees="${go.boss}") | {"settings": {"max_concurrent_executions": 1000}})
            count = 450
            await asyncio.gather(*(one.client.send("ask", {"boss": f"p{n % 3}"}, id=f"k{n}") for n in range(count)))
            await one.log.until(lambda: len(one.log.begun) == count, "all runs")
            await one.quiet()
            await one.leave(one.coordinators[0])  # leaves snapshots
            await one.coordinator()
            found: list[Pending] = []
            cursor, pages = "", 0
            while True:
                page = await one.client.pending(limit=100, cursor=cursor)
                found, pages, cursor = found + page.rows, pages + 1, page.cursor
                if not cursor:
                    break
            assert len({each.run for each in found}) == len(found) == count and pages == 5
            assert len((await one.client.pending(assignee="p1", limit=1000)).rows) == count // 3
            assert all(each.rests for each in _open(one))
            await one.client.answer(found[0], "approve")
            assert len((await one.client.pending(limit=1000)).rows) == count - 1

    run(test(), 60)


def _open(one: Fleet) -> list[Any]:
    owners = [owner for each in one.coordinators for owner in each.owners.values()]
    return [run for owner in owners if owner.partition is not None for run in owner.partition.runs.values()]


def test_the_secret_is_made_once_however_many_ask_for_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0, coordinators=2) as one, await Connection.open(fresh_url, name="other") as other:
            await one.deploy(approval())
            stored = [each async for each in other.streams.read(subjects.SECRETS, subject=subjects.secret("approvals"))]
            assert len(stored) == 1
            await one.client.send("ask", 1)
            (asked,) = await pending(one)
            assert await one.client.token(asked) == one.coordinators[0].tokens.sign(asked.run, asked.activation, asked.wait)

    run(test())


def test_a_run_that_asks_many_people_at_once_is_listed_in_pages_and_answered_one_by_one(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            each = {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": 300}}
            asks = {"type": "std::wait", "config": {"hook_id": "ok", "metadata_fields": ["$"]}}
            await one.deploy(flow("many", {"each": each, "ask": asks}, ["each.item -> ask"]))
            id = await one.client.send("many", {"items": list(range(250))})
            found = await pending(one, 250, limit=1000)
            assert [row.wait for row in found] == list(range(1, 251)) and found[7].node == "ask[7]"
            page = await one.client.pending(run=id, limit=100)
            rest = await one.client.pending(limit=1000, cursor=page.cursor)
            assert [*page.rows, *rest.rows] == found and not rest.cursor
            await one.client.answer(found[99], "approve", by="p99")
            await one.client.decide(id, "ok", "approve", by="first")  # of several of one name the one that waits longest
            left = await pending(one, 248, limit=1000)
            assert {row.wait for row in found} - {row.wait for row in left} == {1, 100}

    run(test())
