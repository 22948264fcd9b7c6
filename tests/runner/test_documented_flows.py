"""Flows that people of this trade write, each run to its end by the real runner, with the outcome that its author means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jetfleet.schemas.errors import EventRejected, InvalidFlow
from jetfleet.schemas.payload import decode
from jetfleet.workers import Context, LocalRunner, NodeError, Out, Registry, RunResult, VirtualClock, node, run

from .scripts import flow, statuses, until_waiting

README = Path(__file__).parent / "flows" / "readme_order_processing.yaml"
NOON_MS = 1_705_320_000_000  # 2024-01-15 12:00 UTC


def ends(result: RunResult) -> dict[str, str]:
    """Node → port for the nodes that ran."""
    return {key: view.port or "" for key, view in result.nodes().items() if view.status == "completed"}


# --- branches that meet again


@pytest.mark.parametrize(("risk", "port", "branch"), [(0.95, "true", "process_risky"), (0.4, "false", "process_safe")])
async def test_a_risky_and_a_safe_order_take_their_branches_and_the_merge_fires_both_times(risk: float, port: str, branch: str) -> None:
    order = {"order_id": "ORD-123", "risk_score": risk, "amount": 5000}
    result = await run(README, order)
    assert result.completed
    assert ends(result) == {"fraud_check": port, branch: "out", "merge_results": "out"}
    assert result.output == {branch: order}


@pytest.mark.parametrize(("score", "branch"), [(0.95, "flag"), (0.8, "normal"), (0.81, "flag"), (None, "normal")])
async def test_the_order_flow_decides_strictly_and_goes_on_behind_the_merge(score: float | None, branch: str) -> None:
    orders = flow(
        {
            "validate": "std::log",
            "check": {"type": "std::switch", "config": {"condition": {"type": "greater_than", "field": "risk_score", "value": 0.8}}},
            "flag": "std::log",
            "normal": "std::log",
            "join": {"type": "std::merge", "config": {"strategy": "all"}},
            "final": "std::log",
        },
        "api -> validate", "sweep -> validate", "validate -> check", "check.true -> flag", "check.false -> normal",
        "flag -> join", "normal -> join", "join -> final",
        triggers=[
            {"id": "api", "type": "webhook", "params": {"method": "POST", "path": "/api/orders"}},
            {"id": "sweep", "type": "cron", "params": {"schedule": "0 0 * * * *"}},
        ],
        settings={"max_concurrent_executions": 100, "execution_timeout_ms": 30_000, "circuit_breaker_threshold": 0.05},
    )  # fmt: skip
    for trigger in ("api", "sweep"):
        result = await run(orders, {"risk_score": score}, trigger=trigger)
        assert result.output == {branch: {"risk_score": score}}
        assert set(ends(result)) == {"validate", "check", branch, "join", "final"}


GETTING_STARTED = """
name: hello_orders
triggers:
  api:
    type: webhook
    params: {port: 8080, path: /orders}
nodes:
  validate:
    type: std::switch
    config:
      condition: {type: greater_than, field: amount, value: 0}
  accept:
    type: std::concat
    config: {parts: ["order ${validate.order_id} accepted"], output_field: message}
  reject:
    type: std::concat
    config: {parts: ["order ${validate.order_id} rejected"], output_field: message}
edges:
  - {from: api, to: validate}
  - {from: validate.true, to: accept}
  - {from: validate.false, to: reject}
"""


@pytest.mark.parametrize(("amount", "end", "message"), [(100, "accept", "order A-1 accepted"), (-500, "reject", "order A-1 rejected")])
async def test_the_first_flow_of_a_newcomer_writes_the_order_into_its_message(amount: int, end: str, message: str) -> None:
    assert (await run(GETTING_STARTED, {"order_id": "A-1", "amount": amount})).output == {end: {"message": message}}


async def test_two_exclusive_ways_into_one_node_run_it_once() -> None:
    payment = flow(
        {
            "small": {"type": "std::switch", "config": {"condition": {"type": "less_than", "field": "amount", "value": 1000}}},
            "approve": {"type": "std::wait", "config": {"hook_id": "pay-${trace_id}", "timeout_secs": 3600}},
            "process": "std::log",
            "rejected": "std::log",
        },
        "small.true -> process", "small.false -> approve", "approve -> process", "approve.rejected -> rejected",
    )  # fmt: skip
    small = await run(payment, {"amount": 999})
    assert (ends(small), small.nodes()["process"].attempts) == ({"small": "true", "process": "out"}, 1)
    async with LocalRunner() as runner:
        large = runner.start(payment, {"amount": 1000})
        await until_waiting(large, f"pay-{large.id}")
        large.signal(f"pay-{large.id}", {"decision": "approve"})
        result = await large.result()
    assert (ends(result), result.nodes()["process"].attempts) == ({"small": "false", "approve": "out", "process": "out"}, 1)


# --- people and other systems


def approval() -> dict[str, Any]:
    config = {
        "hook_id": "order-approval-${trace_id}", "timeout_secs": 3600, "timeout_action": "reject",
        "metadata_fields": ["order_id", "amount", "customer.email"],
    }  # fmt: skip
    return flow(
        {
            "check": {"type": "std::switch", "config": {"condition": {"type": "greater_than", "field": "amount", "value": 10_000}}},
            "approval": {"type": "std::wait", "config": config},
            "approved": "std::log", "rejected": "std::log", "standard": "std::log",
        },
        "check.true -> approval", "check.false -> standard", "approval -> approved", "approval.rejected -> rejected",
    )  # fmt: skip


ORDER = {"order_id": 7, "amount": 25_000, "customer": {"email": "ada@example.org"}}


@pytest.mark.parametrize(("answer", "end"), [("approve", "approved"), ("reject", "rejected"), (None, "rejected")])
async def test_a_large_order_is_approved_rejected_or_times_out(answer: str | None, end: str) -> None:
    async with LocalRunner(clock=VirtualClock(0)) as runner:
        run = runner.start(approval(), ORDER)
        if answer is not None:
            run.signal(f"order-approval-{run.id}", {"decision": answer})
        result = await run.result()
    assert set(ends(result)) == {"check", "approval", end}
    assert result.output[end]["input"] == ORDER, "the order is still there after the wait"
    assert (result.ended_at == 3_600_000) is (answer is None)


async def test_who_decides_sees_the_named_fields_and_until_when() -> None:
    clock = VirtualClock(1_000)
    async with LocalRunner() as runner:
        run = runner.start(approval(), ORDER)
        await until_waiting(run, f"order-approval-{run.id}")
        (wait,) = run.awaiting.values()
        assert (wait.kind, decode(wait.metadata)) == ("approval", {"order_id": 7, "amount": 25_000, "email": "ada@example.org"})
        assert wait.due is not None and wait.due > clock.now_ms()


async def test_an_order_of_exactly_the_limit_never_waits() -> None:
    result = await run(approval(), {"amount": 10_000})
    assert set(ends(result)) == {"check", "standard"}


@pytest.mark.parametrize(("director", "end"), [("approve", "process"), ("reject", "refused"), (None, "refused")])
async def test_what_the_manager_does_not_answer_goes_to_the_director(director: str | None, end: str) -> None:
    chain = flow(
        {
            "manager": {"type": "std::wait", "config": {"hook_id": "manager", "timeout_secs": 3600, "timeout_action": "escalate"}},
            "director": {"type": "std::wait", "config": {"hook_id": "director", "timeout_secs": 1800, "timeout_action": "reject"}},
            "process": "std::log", "refused": "std::log",
        },
        "manager -> process", "manager.escalated -> director", "director -> process", "director.rejected -> refused",
    )  # fmt: skip
    clock = VirtualClock(0)
    async with LocalRunner(clock=clock) as runner:
        run = runner.start(chain, {"n": 1})
        if director is not None:
            run.signal("director", {"decision": director})
        result = await run.result()
    assert ends(result)["manager"] == "escalated"
    assert end in ends(result)
    assert result.ended_at == (3_600_000 if director else 5_400_000)


async def test_what_an_external_system_answers_reaches_the_nodes_behind() -> None:
    callback = flow(
        {
            "call": {
                "type": "std::wait",
                "config": {"hook_id": "job-${trigger.payload.job}", "timeout_secs": 86_400, "timeout_action": "reject"},
            },
            "use": {"type": "std::set", "config": {"values": {"score": "${call.response.score}", "job": "${call.input.job}"}}},
        },
        "call -> use",
    )
    async with LocalRunner() as runner:
        run = runner.start(callback, {"job": 9})
        await until_waiting(run, "job-9")
        run.signal("job-9", {"decision": "approved", "response_data": {"score": 0.7}})
        assert (await run.result()).output == {"score": 0.7, "job": 9}


# --- triggers


@pytest.mark.parametrize("fired", ["web", "mobile", "partner", "hourly", "stream"])
async def test_of_several_triggers_only_the_one_that_fired_is_active(fired: str) -> None:
    fan_in = flow(
        {"a": {"type": "std::set", "config": {"values": "${trigger.id}"}}, "only_web": "std::log"},
        "web -> a", "mobile -> a", "partner -> a", "hourly -> a", "stream -> a", "web -> only_web",
        triggers=[
            {"id": "web", "type": "webhook", "params": {"port": 8080, "path": "/web"}},
            {"id": "mobile", "type": "trigger::webhook", "params": {"port": 8081, "path": "/mobile"}},
            {"id": "partner", "type": "webhook", "params": {"port": 8082, "methods": ["PUT"]}},
            {"id": "hourly", "type": "cron", "params": {"schedule": "0 * * * *", "timezone": "UTC"}},
            {"id": "stream", "type": "kafka", "params": {"brokers": "b:9092", "group_id": "g", "topic": "orders"}},
        ],
    )  # fmt: skip
    result = await run(fan_in, {"n": 1}, trigger=fired)
    assert result.nodes()["only_web"].status == ("completed" if fired == "web" else "skipped")
    assert result.nodes()["a"].attempts == 1


# --- loops


@pytest.mark.parametrize("ports", [("continue", "exit"), ("body", "done")])
async def test_a_loop_of_at_most_ten_runs_its_body_ten_times(ports: tuple[str, str]) -> None:
    looping = loop({"max_iterations": 10}, *ports)
    result = await run(looping, {"n": 0}, registry=counting())
    assert result.output["n"] == 10
    assert [key for key in result.nodes() if key.startswith("body")] == [f"body[{number}]" for number in range(10)]


def loop(config: dict[str, Any], body: str = "continue", done: str = "exit") -> dict[str, Any]:
    looping = flow({"loop": {"type": "std::loop", "config": config}, "body": "x.count", "end": "std::log"}, f"loop.{body} -> body")
    looping["edges"] += [{"from": "body", "to": "loop", "loop_back": True}, {"from": f"loop.{done}", "to": "end"}]
    return looping


def counting() -> Registry:
    registry = Registry()

    @node("x.count", mode="inline", registry=registry)
    def count(value: dict[str, Any]) -> dict[str, Any]:
        return {
            **value,
            "n": value["n"] + 1,
            "done": value["n"] >= 2,
            "open": value["n"] < 3,
            "state": {"word": "end" if value["n"] > 3 else ""},
        }

    return registry


@pytest.mark.parametrize(
    ("config", "iterations"),
    [
        ({"max_iterations": 3}, 3),
        ({"max_iterations": 9, "until_field_equals": {"field": "n", "value": 4}}, 4),
        ({"max_iterations": 9, "until_field_equals": {"field": "state.word", "value": "end"}}, 5),
        ({"max_iterations": 9, "until_true": "done"}, 3),
        ({"max_iterations": 9, "until_true": {"field": "done"}}, 3),
        ({"max_iterations": 9, "until_false": "open"}, 4),
        ({"max_iterations": 9, "until_expression": "${iteration} >= 3"}, 3),
        ({"max_iterations": 9, "until_expression": "${n} > 5"}, 6),
        ({"max_iterations": 5, "until_expression": "${n} > 5"}, 5),
        ({"max_iterations": 9, "until_true": "nowhere"}, 9),
        ({"until_expression": "${n} == 7"}, 7),
        ({"until_true": "nowhere"}, 10),
    ],
)
async def test_a_loop_ends_by_its_condition_and_always_at_its_limit(config: dict[str, Any], iterations: int) -> None:
    result = await run(loop(config), {"n": 0}, registry=counting())
    assert sum(key.startswith("body[") for key in result.nodes()) == iterations
    assert result.nodes()["loop"].port == "exit"


async def test_a_loop_whose_condition_holds_at_once_does_nothing() -> None:
    result = await run(loop({"max_iterations": 3, "until_true": "done"}), {"n": 1, "done": True}, registry=counting())
    assert result.output == {"n": 1, "done": True}


# --- calls to other systems


@asynccontextmanager
async def served(*answers: tuple[int, Any]) -> AsyncIterator[str]:
    """A real server that gives these answers one after the other, the last one for ever. Status 0: it never answers."""
    left = list(answers)
    closing = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        status, body = left.pop(0) if len(left) > 1 else left[0]
        if not status:
            await closing.wait()
        return web.json_response(body, status=status or 503)

    application = web.Application()
    application.router.add_route("*", "/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        closing.set()
        await runner.cleanup()


def scoring(url: str, **node: Any) -> dict[str, Any]:
    return flow(
        {
            "validate": {"type": "std::json_dynamic", "config": {"operation": "passthrough", "required_fields": ["order_id"]}},
            "score": {"type": "std::http", "config": {"method": "POST", "url": url, "body": {"id": "${validate.order_id}"}}, **node},
            "check": {"type": "std::switch", "config": {"condition": {"type": "greater_than", "field": "body.score", "value": 0.8}}},
            "risky": "std::log", "safe": "std::log",
            "merge": {"type": "std::merge", "config": {"strategy": "any"}},
        },
        "validate -> score", "score -> check", "check.true -> risky", "check.false -> safe", "risky -> merge", "safe -> merge",
    )  # fmt: skip


@pytest.mark.parametrize(("score", "branch", "other"), [(0.92, "risky", "safe"), (0.1, "safe", "risky")])
async def test_a_fraud_check_by_http_decides_the_branch(score: float, branch: str, other: str) -> None:
    async with served((200, {"score": score})) as url:
        result = await run(scoring(url), {"order_id": 7})
    assert result.completed
    assert [statuses(result)[id] for id in (branch, other, "merge")] == ["completed", "skipped", "completed"]


async def test_a_missing_field_fails_the_run_with_a_message_that_names_it() -> None:
    result = await run(scoring("http://127.0.0.1:1/"), {"amount": 5})
    assert (result.status, result.error.node) == ("failed", "validate")
    assert "order_id" in result.error.message


async def test_a_server_error_fails_the_run_and_a_second_attempt_may_save_it() -> None:
    async with served((500, {}), (200, {"score": 0.9})) as url:
        assert (await run(scoring(url), {"order_id": 7})).error.type == "http_status"
    async with served((500, {}), (200, {"score": 0.9})) as url:
        result = await run(scoring(url, retry={"max_attempts": 2, "initial_delay_ms": 0}), {"order_id": 7})
    assert (result.completed, result.nodes()["score"].attempts) == (True, 2)


async def test_an_endpoint_that_never_answers_is_a_timeout() -> None:
    async with served((0, None)) as url:
        result = await run(scoring(url, timeout_ms=50), {"order_id": 7})
    assert (result.status, result.error.type) == ("failed", "timeout")


# --- idempotency, time, batching


async def test_the_same_key_twice_is_the_same_charge(registry: Registry) -> None:
    charges: dict[str, int] = {}

    @node("x.charge", registry=registry)
    async def charge(amount: int, context: Context) -> str:
        charges[context.idempotency_key] = charges.get(context.idempotency_key, 0) + 1
        if context.attempt == 1:
            raise NodeError("the line broke after the payment")
        return context.idempotency_key

    paying = flow(
        {"a": {"type": "x.charge", "retry": {"initial_delay_ms": 0}}, "b": {"type": "x.charge", "retry": {"initial_delay_ms": 0}}}
    )
    async with LocalRunner(registry=registry) as runner:
        first, second = [await runner.run(paying, 5, run_id="order-7") for _ in range(2)]
    assert first.output == second.output == {"a": "order-7/a", "b": "order-7/b"}
    assert charges == {"order-7/a": 2, "order-7/b": 2}, "one key per step, the same at every attempt"


async def test_a_node_that_looks_at_the_time_changes_its_mind_at_noon(registry: Registry) -> None:
    @node("x.noon", registry=registry)
    async def is_afternoon(value: Any, context: Context) -> bool:
        return context.now().hour >= 12

    clock = VirtualClock(NOON_MS - 60_000)
    daily = flow(
        {"before": "x.noon", "minute": {"type": "std::delay", "config": {"duration_ms": 60_000}}, "after": "x.noon"}, "minute -> after"
    )
    assert (await run(daily, clock=clock, registry=registry)).output == {"before": False, "after": True}


async def test_items_are_accumulated_until_a_batch_is_full(registry: Registry) -> None:
    @node("x.batch", ports=("batch", "accumulating"), mode="inline", registry=registry)
    def batch(value: dict[str, Any], config: dict[str, Any]) -> Out:
        items = [*value["items"], value["next"]]
        return Out("batch" if len(items) == config["size"] else "accumulating", {"items": items, "next": value["next"] + 1})

    accumulate = flow(
        {
            "more": {"type": "std::loop", "config": {"max_iterations": 100}},
            "collect": {"type": "x.batch", "config": {"size": 3}},
            "full": "std::log",
        },
        "more.continue -> collect",
        "collect.batch -> full",
    )
    accumulate["edges"].append({"from": "collect.accumulating", "to": "more", "loop_back": True})
    result = await run(accumulate, {"items": [], "next": 1}, registry=registry)
    assert decode(result.nodes()["full[2]"].output)["items"] == [1, 2, 3]
    assert [result.nodes()[f"collect[{number}]"].port for number in range(3)] == ["accumulating", "accumulating", "batch"]


# --- graphs


async def test_five_nodes_in_a_line_run_in_their_order(registry: Registry) -> None:
    @node("x.order", registry=registry)
    async def order(value: list[str], context: Context) -> list[str]:
        return [*value, context.node]

    line = flow(dict.fromkeys("edcba", "x.order"), "a -> b", "b -> c", "c -> d", "d -> e")
    assert (await run(line, [], registry=registry)).output == ["a", "b", "c", "d", "e"]


async def test_a_diamond_begins_and_ends_where_it_should(registry: Registry) -> None:
    order: list[str] = []

    @node("x.order", registry=registry)
    async def note(value: Any, context: Context) -> None:
        order.append(context.node)

    await run(flow(dict.fromkeys("dbca", "x.order"), "a -> b", "a -> c", "b -> d", "c -> d"), registry=registry)
    assert (order[0], sorted(order[1:3]), order[3]) == ("a", ["b", "c"], "d")


async def test_a_cycle_has_to_be_declared() -> None:
    cycle = flow({"a": "std::log", "b": "std::log"}, "a -> b", "b -> a")
    with pytest.raises(InvalidFlow) as refused:
        await run(cycle)
    assert {problem.code for problem in refused.value.problems} == {"CYCLE"}
    cycle["edges"][1]["loop_back"] = True
    cycle["settings"] = {"limits": {"iterations": 3}}
    cycle["edges"][1]["condition"] = "again == yes"
    assert (await run(cycle, {"again": "no"})).completed


async def test_a_disabled_node_is_left_out_with_what_hangs_on_it_alone() -> None:
    partly = flow(
        {"a": "std::log", "off": {"type": "std::log", "enabled": False}, "b": "std::log", "c": "std::log"}, "a -> off", "off -> b", "a -> c"
    )
    assert statuses(await run(partly, 1)) == {"a": "completed", "off": "skipped", "b": "skipped", "c": "completed"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: ''\ntriggers: [{id: t, type: smoke_signal}]\n", "INVALID_TRIGGER_TYPE"),
        ("name: [unclosed\n", "SYNTAX"),
        ("name: f\nnodes: {a: {type: std::log}}\nedges: [{from: a, to: nowhere}]\n", "INVALID_REFERENCE"),
    ],
)
async def test_what_is_no_flow_is_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidFlow) as refused:
        await run(text)
    assert code in {problem.code for problem in refused.value.problems}


async def test_an_inputs_schema_keeps_bad_events_out() -> None:
    with pytest.raises(EventRejected):
        await run(flow({"a": "std::log"}, inputs={"required": ["amount"]}), {"total": 5})


# --- selectors


async def test_selectors_fill_texts_and_keep_types() -> None:
    texts = flow(
        {
            "fraud_check": {"type": "std::set", "config": {"values": {"score": 0.95, "level": "HIGH", "tags": ["a", {"b": 7}]}}},
            "report": {
                "type": "std::set",
                "config": {
                    "values": {
                        "text": "Score: ${fraud_check.score}, Level: ${fraud_check.level}, Limit: ${pipeline.config.limit}",
                        "score": "${fraud_check.score}",
                        "deep": "${fraud_check.tags[1].b}",
                        "missing": "${fraud_check.nothing}",
                        "run": "${trace_id}",
                    }
                },
            },
        },
        "fraud_check -> report",
        config={"limit": 8},
    )
    async with LocalRunner() as runner:
        result = await runner.run(texts, run_id="r1")
    assert result.output == {"text": "Score: 0.95, Level: HIGH, Limit: 8", "score": 0.95, "deep": 7, "missing": None, "run": "r1"}


@pytest.mark.parametrize("selector", ["${nobody.score}", "${}", "${123invalid.field}", "${fraud_check.score", "${pipeline.confg.limit}"])
async def test_a_selector_that_cannot_mean_anything_is_refused(selector: str) -> None:
    bad = flow({"fraud_check": "std::log", "b": {"type": "std::set", "config": {"values": selector}}}, "fraud_check -> b")
    with pytest.raises(InvalidFlow) as refused:
        await run(bad)
    assert {problem.code for problem in refused.value.problems} == {"INVALID_SELECTOR"}
