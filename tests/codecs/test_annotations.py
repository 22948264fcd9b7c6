"""Arrays and tables as fields of what a node's parameter is annotated with, and generator functions as nodes."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from jetfleet.broker.codecs.path import FileView
from jetfleet.schemas.errors import Permanent, UnencodableValue, UsageError
from jetfleet.workers import node
from jetfleet.workers.files import files_for_attempt, make_file
from jetfleet.workers.registry import Registry
from jetfleet.workers.signature import read_signature
from jetfleet.workers.streams import CHUNK_BYTES, async_chunks_of, chunks_of

ARRAY = np.arange(3.0)


@dataclass
class Sample:
    values: np.ndarray[Any, Any]
    label: int = 0


@dataclass
class Batch:
    samples: list[Sample]
    table: pa.Table | None = None


class Reading(TypedDict):
    values: np.ndarray[Any, Any]


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    values: np.ndarray[Any, Any]


@dataclass
class Stranger:
    thread: threading.Thread


def of_sample(value: Sample) -> Any:
    return value


def of_batch(value: Batch) -> Any:
    return value


def of_samples(value: list[Sample]) -> Any:
    return value


def of_reading(value: Reading) -> Any:
    return value


def of_model(value: Model) -> Any:
    return value


def of_arrays(value: dict[str, np.ndarray[Any, Any]]) -> Any:
    return value


def of_stranger(value: Stranger) -> Any:
    return value


def given_to(function: Callable[..., Any], value: Any) -> Any:
    return read_signature(function).bind(function, None)(value)


def test_a_dataclass_may_have_arrays_and_tables_as_fields() -> None:
    sample = given_to(of_sample, {"values": ARRAY, "label": "7"})
    assert isinstance(sample, Sample)
    assert sample.values is ARRAY
    assert sample.label == 7
    batch = given_to(of_batch, {"samples": [{"values": ARRAY}], "table": pa.table({"a": [1]})})
    assert batch.samples[0].values is ARRAY
    assert batch.table.num_rows == 1


def test_so_may_lists_maps_typed_dicts_and_models_that_allow_it() -> None:
    assert given_to(of_samples, [{"values": ARRAY}])[0].values is ARRAY
    assert given_to(of_reading, {"values": ARRAY})["values"] is ARRAY
    assert given_to(of_model, {"values": ARRAY}).values is ARRAY
    assert given_to(of_arrays, {"a": ARRAY})["a"] is ARRAY


def of_annotated(value: Annotated[np.ndarray[Any, Any], "pixels"]) -> Any:
    return value


def of_few(value: Annotated[list[np.ndarray[Any, Any]], Field(max_length=1)]) -> Any:
    return value


def of_positive(value: list[Annotated[int, Field(gt=0)]], config: Annotated[int, Field(lt=9)]) -> Any:
    return value, config


def test_what_annotated_says_beside_the_type_holds() -> None:
    assert given_to(of_annotated, ARRAY) is ARRAY
    assert given_to(of_few, [ARRAY])[0] is ARRAY
    assert read_signature(of_positive).bind(of_positive, 3)([1]) == ([1], 3)
    with pytest.raises(Permanent, match="at most 1 item"):
        given_to(of_few, [ARRAY, ARRAY])
    with pytest.raises(Permanent, match="greater than 0"):
        read_signature(of_positive).bind(of_positive, 3)([0])
    with pytest.raises(Permanent, match="less than 9"):
        read_signature(of_positive).bind(of_positive, 9)([1])


def test_the_class_of_the_user_is_left_as_it_was() -> None:
    read_signature(of_sample)
    assert not hasattr(Sample, "__pydantic_config__")


def test_a_field_that_is_no_array_is_refused_by_name() -> None:
    with pytest.raises(Permanent, match="`values`: Input should be an instance of ndarray") as caught:
        given_to(of_sample, {"values": [1, 2]})
    assert caught.value.type == "invalid_input"


def test_a_field_of_a_type_that_no_value_can_have_is_refused_at_registration() -> None:
    with pytest.raises(UsageError, match="`value` cannot be checked"):
        read_signature(of_stranger)


def test_a_file_is_made_where_an_attempt_runs_and_a_view_of_its_bytes_elsewhere(tmp_path: Path) -> None:
    with files_for_attempt(tmp_path):
        path = make_file(memoryview(b"x"), "x.txt")
        assert (path.name, path.read_bytes()) == ("x.txt", b"x")
    assert list(tmp_path.iterdir()) == []
    assert make_file(memoryview(b"x"), "x.txt") == FileView("x.txt", memoryview(b"x"))


# --- what a node yields


def test_generator_functions_are_nodes_of_the_mode_that_fits() -> None:
    registry = Registry([])

    @node("test.plain", registry=registry)
    def plain(value: int) -> Iterator[bytes]:
        yield b"x" * value

    @node("test.waiting", registry=registry)
    async def waiting(value: int) -> AsyncIterator[bytes]:
        yield b"x" * value

    modes = {name: spec.mode for name in registry.names() if (spec := registry.get(name))}
    assert modes == {"test.plain": "thread", "test.waiting": "async"}


def test_a_generator_has_no_place_in_modes_without_time_for_it() -> None:
    def plain() -> Iterator[bytes]:
        yield b""

    async def waiting() -> AsyncIterator[bytes]:
        yield b""

    for function, mode in ((plain, "inline"), (plain, "async"), (waiting, "thread"), (waiting, "inline")):
        with pytest.raises(UsageError, match=mode):
            node("test.wrong", mode=mode, registry=Registry([]))(function)  # type: ignore[arg-type]


def test_what_is_yielded_or_can_be_read_comes_as_chunks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (CHUNK_BYTES + 1))
    results: list[tuple[Any, list[int]]] = [
        ((part for part in (b"ab", bytearray(b"c"), memoryview(b""), np.arange(2, dtype="i8"))), [2, 1, 0, 16]),
        (iter([b"abc"]), [3]),
        (io.BytesIO(b"abc"), [3]),
        ((tmp_path / "file").open("rb"), [CHUNK_BYTES, 1]),
    ]
    for result, lengths in results:
        found = chunks_of(result)
        assert found is not None
        assert [chunk.nbytes for chunk in found] == lengths


@pytest.mark.parametrize("result", [None, b"", "text", [b"a"], (b"a",), {}, 1, ARRAY, pa.table({"a": [1]}), Path("x"), range(2)], ids=str)
def test_other_results_are_no_chunks(result: Any) -> None:
    assert chunks_of(result) is None
    assert async_chunks_of(result) is None


def test_an_async_generator_is_chunks_too() -> None:
    async def yielding() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"bc"

    async def read() -> list[bytes]:
        found = async_chunks_of(yielding())
        assert found is not None
        return [bytes(chunk) async for chunk in found]

    assert asyncio.run(read()) == [b"a", b"bc"]
    assert chunks_of(yielding()) is None


def test_whoever_yields_something_else_than_bytes_is_told_which_item_it_was() -> None:
    found = chunks_of(iter([b"a", {"b": 1}]))
    assert found is not None
    assert next(found) == b"a"
    with pytest.raises(UnencodableValue, match="item 1 that it yielded is a dict; yield bytes, or return a list"):
        next(found)
