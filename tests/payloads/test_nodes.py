"""Large values between nodes: each mode and each annotation, in one process with the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import pandas
import pyarrow
import pytest

from jetfleet.schemas.payload import decode
from jetfleet.schemas.ref import Ref
from jetfleet.workers import Context, LocalRunner, Out
from jetfleet.workers.registry import Registry, node

BYTES = bytes(range(256)) * 1_000
registry = Registry()


def flow(*types: str, edges: list[dict[str, Any]] | None = None, **rest: Any) -> dict[str, Any]:
    """A chain of nodes a, b, c … of these types."""
    names = "abcdefgh"[: len(types)]
    chain = [{"from": one, "to": next} for one, next in pairwise(names)]
    nodes = {name: {"type": type} if isinstance(type, str) else type for name, type in zip(names, types, strict=True)}
    return {"name": "f", "nodes": nodes, "edges": chain if edges is None else edges, **rest}


def run(definition: dict[str, Any], then: Callable[[LocalRunner], Any] = lambda runner: None, value: Any = None) -> Any:
    """The result of the run; `then` looks at the runner before it is closed."""

    async def body() -> Any:
        async with LocalRunner(registry=registry) as runner:
            result = await runner.run(definition, value)
            then(runner)
            return result

    return asyncio.run(body())


@node("make.thread", registry=registry)
def make_in_thread(value: Any) -> numpy.ndarray:
    return numpy.arange(100_000.0)


@node("make.async", registry=registry)
async def make_in_loop(value: Any) -> numpy.ndarray:
    return numpy.arange(100_000.0)


@node("make.process", mode="process", registry=registry)
def make_in_process(value: Any) -> numpy.ndarray:
    return numpy.arange(100_000.0)


@node("make.inline", mode="inline", registry=registry)
def make_inline(value: Any) -> numpy.ndarray:
    return numpy.arange(100_000.0)


@node("sum.thread", registry=registry)
def sum_in_thread(array: numpy.ndarray) -> dict[str, Any]:
    return {"sum": float(array.sum()), "writeable": bool(array.flags.writeable), "owner": bool(array.flags.owndata)}


@node("sum.async", registry=registry)
async def sum_in_loop(array: numpy.ndarray) -> dict[str, Any]:
    return sum_in_thread(array)


@node("sum.process", mode="process", registry=registry)
def sum_in_process(array: numpy.ndarray) -> dict[str, Any]:
    return sum_in_thread(array)


@pytest.mark.parametrize("made", ["make.thread", "make.async", "make.process", "make.inline"])
@pytest.mark.parametrize("summed", ["sum.thread", "sum.async", "sum.process"])
def test_an_array_goes_from_any_mode_to_any_mode_as_a_view(made: str, summed: str) -> None:
    result = run(flow(made, summed))

    assert result.output == {"sum": 4_999_950_000.0, "writeable": False, "owner": False}


@node("bytes", registry=registry)
def make_bytes(value: Any) -> bytes:
    return BYTES


@node("take.any", registry=registry)
def take_any(value: Any) -> str:
    return f"{type(value).__name__} {len(value)} {value == BYTES}"


@node("take.view", registry=registry)
def take_view(value: memoryview) -> str:
    return f"{type(value).__name__} {len(value)} {value == BYTES} {value.readonly}"


@node("take.file", registry=registry)
def take_file(value: BinaryIO) -> str:
    return f"{value.read() == BYTES}"


@node("take.chunks", registry=registry)
def take_chunks(value: Iterator[bytes]) -> str:
    return f"{b''.join(value) == BYTES}"


@node("take.async_chunks", registry=registry)
async def take_async_chunks(value: AsyncIterator[bytes]) -> str:
    return f"{b''.join([chunk async for chunk in value]) == BYTES}"


@node("take.path", registry=registry)
def take_path(value: Path) -> str:
    return f"{value.read_bytes() == BYTES}"


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("take.any", "bytes 256000 True"),
        ("take.view", "memoryview 256000 True True"),
        ("take.file", "True"),
        ("take.chunks", "True"),
        ("take.async_chunks", "True"),
        ("take.path", "True"),
    ],
)
def test_bytes_come_as_the_annotation_wants_them(taken: str, said: str) -> None:
    result = run(flow("bytes", taken))

    assert result.output == said


@node("stream.generator", registry=registry)
def stream_generator(value: Any) -> Iterator[bytes]:
    for at in range(0, len(BYTES), 1_000):
        yield BYTES[at : at + 1_000]


@node("stream.async", registry=registry)
async def stream_async(value: Any) -> AsyncIterator[bytes]:
    for at in range(0, len(BYTES), 1_000):
        yield BYTES[at : at + 1_000]


@node("stream.writer", registry=registry)
def stream_writer(value: Any, context: Context) -> dict[str, Any]:
    with context.writer() as out:
        for at in range(0, len(BYTES), 1_000):
            out.write(BYTES[at : at + 1_000])
    return {"file": out.value, "size": len(BYTES)}


@node("stream.broken", registry=registry)
def stream_broken(value: Any) -> Iterator[bytes]:
    yield b"x" * 100_000
    raise RuntimeError("half way")


@node("stream.async_broken", registry=registry)
async def stream_async_broken(value: Any) -> AsyncIterator[bytes]:
    yield b"x" * 100_000
    raise RuntimeError("half way")


@pytest.mark.parametrize("streamed", ["stream.generator", "stream.async"])
def test_what_a_generator_yields_is_one_payload(streamed: str) -> None:
    result = run(flow(streamed, "take.view"))

    assert result.output == "memoryview 256000 True True"


@node("stream.batches", registry=registry)
def stream_batches(value: dict[str, Any]) -> pyarrow.RecordBatchReader:
    def batches() -> Iterator[pyarrow.RecordBatch]:
        for at in range(100):
            if at == value.get("breaks_at"):
                raise RuntimeError("half way")
            yield pyarrow.record_batch({"x": numpy.arange(at * 1_000, (at + 1) * 1_000)})

    return pyarrow.RecordBatchReader.from_batches(pyarrow.schema([("x", pyarrow.int64())]), batches())


@node("take.batches", registry=registry)
def take_batches(batches: pyarrow.RecordBatchReader) -> list[int]:
    return [batch.num_rows for batch in batches]


def test_what_a_reader_of_batches_reads_is_one_table_that_never_is_in_memory() -> None:
    picked = {"type": "std::set", "config": {"values": {"row": "${a[99999].x}", "count": "${b}"}}}
    result = run(flow("stream.batches", "take.batches", picked), value={})

    assert result.output == {"row": 99_999, "count": [1_000] * 100}


def test_a_reader_that_breaks_fails_the_attempt_and_leaves_nothing() -> None:
    entries: list[int] = []
    result = run(flow("stream.batches"), lambda runner: entries.append(runner.executor.plane.counters.written), {"breaks_at": 50})

    assert (result.status, result.error.message) == ("failed", "half way")
    assert entries == [0]


def test_a_node_writes_a_payload_piece_by_piece() -> None:
    result = run(flow("stream.writer"))

    assert result.output == {"file": BYTES, "size": len(BYTES)}


@pytest.mark.parametrize("broken", ["stream.broken", "stream.async_broken"])
def test_a_stream_that_breaks_fails_the_attempt_with_the_node_s_error(broken: str) -> None:
    result = run(flow(broken))

    assert (result.status, result.error.type, result.error.message) == ("failed", "RuntimeError", "half way")


@node("report", ports=("out", "none"), registry=registry)
def report(value: Any) -> Any:
    return Out("out", {"count": 3, "rows": [{"id": i, "text": "x" * 100} for i in range(5_000)]})


def test_a_selector_reads_one_field_of_one_item() -> None:
    picked = {"type": "std::set", "config": {"values": {"id": "${a.rows[3].id}", "none": "${a.rows[9999].id}", "count": "${a.count}"}}}
    result = run(flow("report", picked))

    assert result.output == {"id": 3, "none": None, "count": 3}
    assert decode(result.payload) == result.output, "what is small travels inline"


def test_standard_nodes_move_a_large_value_without_reading_or_writing_it() -> None:
    moved = {"type": "std::map", "config": {"mappings": [{"from": "rows", "to": "kept.rows"}, {"from": "count", "to": "count"}]}}
    written: list[int] = []
    result = run(flow("report", moved), lambda runner: written.append(runner.executor.plane.counters.written))

    output = decode(result.payload)
    assert isinstance(output["kept"]["rows"], Ref) and output["count"] == 3
    assert written == [output["kept"]["rows"].length]
    assert len(result.output["kept"]["rows"]) == 5_000


@node("mix", registry=registry)
def mix(value: Any) -> Any:
    return {"array": numpy.ones(100_000), "file": b"z", "n": 1}


@node("look", registry=registry)
def look(value: dict[str, Any]) -> Any:
    return {"sum": float(value["array"].sum()), "file": value["file"].decode(), "n": value["n"]}


def test_an_array_among_other_fields_arrives_with_them() -> None:
    assert run(flow("mix", "look")).output == {"sum": 100_000.0, "file": "z", "n": 1}


def test_a_value_of_this_host_is_opened_once_and_no_folder_for_files_is_made_for_it() -> None:
    seen: list[Any] = []

    def look_at(runner: LocalRunner) -> None:
        arena = runner.executor.plane.opened
        assert arena is not None
        seen.extend((arena.counters.views_given, (arena.settings.folder / "files").exists()))

    run(flow("make.thread", "sum.thread"), look_at)

    assert seen == [1, False]


def test_nothing_is_left_behind_by_a_runner() -> None:
    folders: list[Path] = []

    def look_at(runner: LocalRunner) -> None:
        assert runner.executor.plane.settings is not None
        folders.append(runner.executor.plane.settings.folder)
        assert folders[0].is_dir()

    run(flow("make.process", "sum.thread"), look_at)

    assert not folders[0].exists()


def test_a_concurrency_key_inside_of_a_large_value_fails_its_node_and_says_what_to_do() -> None:
    bounded = {"type": "take.any", "concurrency": {"max": 1, "key": "${a.rows[0].id}"}}
    result = run(flow("report", bounded))

    assert (result.status, result.error.type, result.error.node) == ("failed", "value_elsewhere", "b")
    assert "payloads.inline_max" in result.error.message


def test_a_switch_on_a_small_field_beside_a_large_one_and_on_one_inside_of_it() -> None:
    def by(field: str) -> dict[str, Any]:
        return {"type": "std::switch", "config": {"condition": {"type": "equals", "field": field, "value": 3}}}

    for field in ("count", "rows[3].id"):
        definition = {
            "name": "f",
            "nodes": {"a": {"type": "report"}, "b": by(field), "c": {"type": "std::set", "config": {"values": "yes"}}},
            "edges": [{"from": "a", "to": "b"}, {"from": "b.true", "to": "c"}],
        }
        assert run(definition).output == "yes", field


@node("tables", registry=registry)
def tables(value: dict[str, int]) -> Any:
    numbers = numpy.arange(value["rows"], dtype=float) + 0.5
    return {"array": numbers, "table": pyarrow.table({"x": numbers}), "frame": pandas.DataFrame({"x": numbers})}


@pytest.mark.parametrize("rows", [4, 50_000])
@pytest.mark.parametrize("field", ["array[3]", "table.x[3]", "table[3].x", "frame.x[3]"])
def test_a_switch_on_an_item_of_an_array_or_table(field: str, rows: int) -> None:
    for condition, expected in (
        (f"{field} == 3.5", "yes"),
        (f"{field} > 3", "yes"),
        (f"{field} > 4", "no"),
        (f"{field}.none == 3.5", "no"),
    ):
        definition = {
            "name": "f",
            "nodes": {
                "a": {"type": "tables"},
                "b": {"type": "std::switch", "config": {"condition": condition}},
                "yes": {"type": "std::set", "config": {"values": "yes"}},
                "no": {"type": "std::set", "config": {"values": "no"}},
            },
            "edges": [{"from": "a", "to": "b"}, {"from": "b.true", "to": "yes"}, {"from": "b.false", "to": "no"}],
        }
        assert run(definition, value={"rows": rows}).output == {expected: expected}, condition


@pytest.mark.parametrize("rows", [4, 50_000])
@pytest.mark.parametrize("field", ["array[3]", "table.x[3]", "table[3].x", "frame.x[3]", "frame[3].x"])
def test_standard_nodes_find_an_item_of_an_array_or_table_however_large_it_is(field: str, rows: int) -> None:
    found: list[tuple[str, dict[str, Any], Any]] = [
        ("std::map", {"mappings": [{"from": field, "to": "to"}, {"from": f"{field}.none", "to": "none", "default": 7}]}, {"to": 3.5, "none": 7}),
        ("std::set", {"values": {"is": f"${{a.{field}}}", "text": f"it is ${{a.{field}}}"}}, {"is": 3.5, "text": "it is 3.5"}),
        ("std::concat", {"parts": ["it is ", f"$.{field}"], "output_field": "text"}, {"text": "it is 3.5"}),
        ("std::aggregate", {"operation": "sum", "fields": [field, field], "output_field": "sum"}, {"sum": 7.0}),
        ("std::json_dynamic", {"operation": "extract", "fields": [field], "required_fields": [field]}, {field[-2] if field[-1] == "]" else "x": 3.5}),
    ]  # fmt: skip
    for type, config, expected in found:
        assert run(flow("tables", {"type": type, "config": config}), value={"rows": rows}).output == expected, type


@pytest.mark.parametrize("rows", [4, 50_000])
def test_numbers_of_an_array_or_table_are_added_up(rows: int) -> None:
    for source in (
        {"array_path": "array"},
        {"array_path": "table.x"},
        *({"array_path": name, "value_field": "x"} for name in ("table", "frame")),
    ):
        summed = {"type": "std::aggregate", "config": {"operation": "sum", "output_field": "sum", **source}}
        assert run(flow("tables", summed), value={"rows": rows}).output == {"sum": rows * rows / 2}, source


@node("sizes", registry=registry)
def sizes(item: dict[str, Any]) -> int:
    return len(item["text"]) + int(item["id"])


@pytest.mark.parametrize("batch", [0, 3])
def test_a_split_hands_out_single_items_of_a_small_array(batch: int) -> None:
    ways = {"mode": "batched", "batch_size": batch} if batch else {"mode": "parallel"}
    definition = {
        "name": "f",
        "nodes": {
            "a": {"type": "few"},
            "b": {"type": "std::split", "config": {"field": "deep.rows", **ways}},
            "c": {"type": "plus"},
        },
        "edges": [{"from": "a", "to": "b"}, {"from": "b.item", "to": "c"}],
    }
    result = run(definition)

    assert result.status == "completed", result.error
    assert result.output == ([3.0, 12.0, 21.0, 30.0, 39.0] if not batch else [36.0, 69.0])


@node("few", registry=registry)
def few(value: Any) -> Any:
    return {"deep": {"rows": numpy.arange(15.0).reshape(5, 3)}}


@node("plus", registry=registry)
def plus(item: Any) -> float:
    """The sum of an item, or of a batch of them."""
    return float(numpy.sum(item))


def test_a_split_hands_out_single_items_of_a_large_list() -> None:
    definition = {
        "name": "f",
        "nodes": {
            "a": {"type": "report"},
            "b": {"type": "std::split", "config": {"field": "rows", "mode": "parallel"}},
            "c": {"type": "sizes"},
        },
        "edges": [{"from": "a", "to": "b"}, {"from": "b.item", "to": "c"}],
    }
    result = run(definition)

    assert result.status == "completed"
    assert result.output == [100 + i for i in range(5_000)]
