"""Own nodes in the event loop and in threads: what they get, and what they give."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import pytest
from pydantic import BaseModel

from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.payload import decode, encode
from jetfleet.workers import Context, Out, node
from jetfleet.workers.executor import Executor

from .bench import Bench


class Item(BaseModel):
    name: str
    price: float = 0.0


class Order(BaseModel):
    id: str
    items: list[Item] = []


@dataclass
class Point:
    x: int
    y: int


class Limits(BaseModel):
    low: int
    high: int


def test_an_async_function_runs_in_the_event_loop(bench: Bench) -> None:
    @node("test.double", registry=bench.registry)
    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    assert bench.output("test.double", 21) == 42


@pytest.mark.parametrize("around", [lambda many: many, lambda many: {"rows": many}])
def test_a_long_map_that_an_async_function_returns_is_encoded_beside_the_loop(bench: Bench, around: Any) -> None:
    encoded_in: set[threading.Thread] = set()

    class Address(IPv4Address):
        def __str__(self) -> str:
            encoded_in.add(threading.current_thread())
            return super().__str__()

    @node("test.many", registry=bench.registry)
    async def many(value: Any) -> Any:
        return around({str(n): Address(n) for n in range(2_000)})

    bench.output("test.many")
    assert encoded_in and threading.main_thread() not in encoded_in


def test_a_plain_function_runs_in_a_thread(bench: Bench) -> None:
    @node("test.where", registry=bench.registry)
    def where(value: Any) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert bench.output("test.where") is False


def test_an_inline_function_runs_where_the_loop_is(bench: Bench) -> None:
    @node("test.where", mode="inline", registry=bench.registry)
    def where(value: Any) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert bench.output("test.where") is True


def test_input_is_given_as_the_annotated_type(bench: Bench) -> None:
    @node("test.order", registry=bench.registry)
    async def total(order: Order) -> float:
        return sum(item.price for item in order.items)

    @node("test.point", registry=bench.registry)
    async def swap(point: Point) -> Point:
        return Point(point.y, point.x)

    assert bench.output("test.order", {"id": "o", "items": [{"name": "pen", "price": 2}]}) == 2.0
    assert bench.output("test.point", {"x": 1, "y": 2}) == {"x": 2, "y": 1}


def test_input_that_does_not_fit_is_refused_by_name_and_for_good(bench: Bench) -> None:
    @node("test.order", registry=bench.registry)
    async def take(order: Order) -> None:
        raise AssertionError("must not be called")

    error = bench.error("test.order", {"items": [{"name": "pen", "price": "much"}]})
    assert (error.type, error.retryable) == ("invalid_input", False)
    assert error.message == "the input does not fit: `id`: Field required (and 1 more)"
    assert [problem["field"] for problem in error.details] == ["id", "items.0.price"]


def test_models_in_a_result_become_maps_at_any_depth(bench: Bench) -> None:
    @node("test.models", registry=bench.registry)
    async def models(value: Any) -> Any:
        return {"order": Order(id="o", items=[Item(name="pen")]), "at": datetime(2024, 1, 2, tzinfo=UTC), "set": {1}}

    found = bench.output("test.models")
    assert found["order"] == {"id": "o", "items": [{"name": "pen", "price": 0.0}]}
    assert found["set"] == [1]


def test_a_node_chooses_its_port(bench: Bench) -> None:
    @node("test.review", ports=("approved", "rejected"), registry=bench.registry)
    async def review(amount: int) -> Out | int:
        return Out("rejected", {"amount": amount}) if amount > 10 else amount

    rejected, approved = bench.execute("test.review", 11), bench.execute("test.review", 10)
    assert (rejected.port, decode(rejected.output)) == ("rejected", {"amount": 11})
    assert (approved.port, decode(approved.output)) == ("approved", 10)


def test_a_port_that_was_not_declared_is_an_error(bench: Bench) -> None:
    @node("test.lost", registry=bench.registry)
    async def lost(value: Any) -> Out:
        return Out("sideways")

    error = bench.error("test.lost")
    assert (error.type, error.retryable) == ("unknown_port", False)
    assert "`sideways`" in error.message


def test_config_is_rendered_checked_and_given_by_name(bench: Bench) -> None:
    @node("test.clamp", registry=bench.registry)
    async def clamp(value: int, config: Limits) -> int:
        return min(max(value, config.low), config.high)

    assert bench.output("test.clamp", 500, {"low": 0, "high": "${pipeline.config.limit}"}) == 100
    error = bench.error("test.clamp", 5, {"low": "x"})
    assert (error.type, error.retryable) == ("invalid_config", False)


def test_no_config_counts_as_an_empty_one(bench: Bench) -> None:
    @node("test.unclamped", registry=bench.registry)
    async def unclamped(config: dict[str, Any], context: Context) -> Any:
        return [config, context.config]

    assert bench.output("test.unclamped") == [{}, {}]


def test_a_function_may_change_its_config_without_harm(bench: Bench) -> None:
    @node("test.greedy", mode="inline", registry=bench.registry)
    def greedy(value: Any, config: dict[str, Any], context: Context) -> Any:
        context.config["list"].append(0)
        config["list"].append(value)
        return config["list"]

    plan, subject = bench.flow("test.greedy", {"list": []})
    executor = Executor(bench.registry)
    outputs = [executor.execute_inline(plan, subject, Dispatch("r", (subject.index,), 1, encode(n))).output for n in (1, 2)]
    assert [decode(output) for output in outputs] == [[1], [2]]


def test_a_function_without_parameters_is_fine(bench: Bench) -> None:
    @node("test.constant", registry=bench.registry)
    async def constant() -> int:
        return 7

    assert bench.output("test.constant", "ignored") == 7
