"""What of a value stays in its payload, and what is taken out of it."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_serializer

from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.codecs.path import FileView
from jetfleet.broker.payloads.plane import Plane
from jetfleet.broker.payloads.producer import Producer
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.flow.definition import Payloads
from jetfleet.schemas.payload import decode, refs_in
from jetfleet.schemas.payload_errors import ArenaFull, PayloadLost
from jetfleet.schemas.ref import Coded, Ref

RULES = Payloads(inline_max="1KiB")
PRODUCER = Producer("orders-1", (3,), True)


@pytest.fixture
def plane(tmp_path: Path) -> Any:
    plane = Plane(ArenaSettings(tmp_path / "arena"))
    yield plane
    plane.close()


def there_and_back(plane: Plane, value: Any) -> tuple[Any, Any]:
    """The document as the engine sees it, and the value as a node does."""
    payload = plane.encode(value, PRODUCER, RULES)
    return decode(payload), plane.decode(payload)


def test_a_small_value_stays_and_needs_no_arena(plane: Plane, tmp_path: Path) -> None:
    document, value = there_and_back(plane, {"id": 7, "lines": [1, 2.5, None, "x", b"y"]})

    assert document == value == {"id": 7, "lines": [1, 2.5, None, "x", b"y"]}
    assert not (tmp_path / "arena").exists()


def test_a_small_file_stays_a_file_wherever_it_came_from(plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    document, from_a_node = there_and_back(plane, {"doc": tmp_path / "note.txt"})
    assert isinstance(document["doc"], Coded)
    uploaded = FileView("note.txt", memoryview(b"hello"))
    assert from_a_node["doc"] == uploaded
    assert there_and_back(plane, {"doc": uploaded})[0] == document
    assert there_and_back(plane, uploaded)[0] == document["doc"]


@pytest.mark.parametrize("value", [b"x" * 5_000, "ä" * 5_000, list(range(5_000)), {str(i): i for i in range(5_000)}])
def test_a_large_value_is_taken_out_as_a_whole(plane: Plane, value: Any) -> None:
    document, back = there_and_back(plane, value)

    assert isinstance(document, Ref)
    assert back == value
    assert (document.run, document.activation, document.again) == ("orders-1", (3,), True)


@pytest.mark.parametrize("value", [list(range(50_000)), {i: i for i in range(50_000)}])
def test_numbers_that_look_like_refs_are_none_so_nobody_has_to_look_for_refs(plane: Plane, value: Any) -> None:
    document, back = there_and_back(plane, value)

    assert not document.nested
    assert back == value


@pytest.mark.parametrize("large", [False, True])
def test_what_has_a_ref_or_a_coded_value_deep_inside_says_so(plane: Plane, large: bool) -> None:
    array = numpy.arange(1_000.0 if large else 3.0)
    for value in ([{"n": n} for n in range(5_000)] + [[{"a": array}]], {n: n for n in range(5_000)} | {"a": [array]}):
        document, back = there_and_back(plane, {"value": value})

        assert document["value"].nested
        found = back["value"][-1][0]["a"] if isinstance(value, list) else back["value"]["a"][0]
        numpy.testing.assert_array_equal(found, array)


def test_of_a_large_map_the_small_fields_stay(plane: Plane) -> None:
    document, back = there_and_back(plane, {"count": 3, "rows": list(range(5_000)), "inner": {"ok": True, "text": "x" * 5_000}})

    assert document["count"] == 3
    assert document["inner"]["ok"] is True
    assert isinstance(document["rows"], Ref) and isinstance(document["inner"]["text"], Ref)
    assert back == {"count": 3, "rows": list(range(5_000)), "inner": {"ok": True, "text": "x" * 5_000}}


def test_many_small_fields_that_are_too_much_together_are_taken_out_as_one(plane: Plane) -> None:
    document, back = there_and_back(plane, {"inner": {f"key{i}": i for i in range(2_000)}, "id": 1})

    assert isinstance(document["inner"], Ref)
    assert document["id"] == 1
    assert back["inner"]["key1999"] == 1_999


def test_a_map_of_very_many_small_values_is_written_once_and_encoded_twice_at_most(plane: Plane) -> None:
    encoded: Counter[str] = Counter()

    class Address(IPv4Address):
        def __str__(self) -> str:
            encoded[text := super().__str__()] += 1
            return text

    document, back = there_and_back(plane, {"large": "x" * 900, **{f"n{i}": Address(i) for i in range(2_000)}})

    assert back["n7"] == "0.0.0.7"
    assert plane.counters.written == document.length, "nothing was taken out of it first"
    assert max(encoded.values()) <= 2


def test_what_would_not_get_small_enough_with_all_taken_out_is_written_as_one(plane: Plane) -> None:
    document, back = there_and_back(plane, value := {"large": "x" * 900, **{f"n{i}": "y" * 40 for i in range(80)}})

    assert isinstance(document, Ref) and back == value
    assert plane.counters.written == document.length, "nothing was taken out of it first"


def test_a_list_knows_how_many_items_it_has_and_gives_a_single_one(plane: Plane) -> None:
    payload = plane.encode([{"id": i, "name": "x" * 10} for i in range(1_000)], PRODUCER, RULES)
    ref = decode(payload)

    assert ref.count == 1_000
    assert plane.resolve(ref.at((700, "id"))) == 700
    assert plane.resolve(ref.at((1_000,))) is None


def test_an_array_is_a_view_of_the_arena_and_a_small_one_travels_along(plane: Plane) -> None:
    large, small = numpy.arange(1_000.0), numpy.arange(3, dtype="i2")
    document, back = there_and_back(plane, {"large": large, "small": small, "n": 1})

    assert isinstance(document["large"], Ref) and isinstance(document["small"], Coded)
    assert document["n"] == 1
    numpy.testing.assert_array_equal(back["large"], large)
    assert back["large"].dtype == large.dtype and back["small"].dtype == small.dtype
    assert not back["large"].flags.writeable and not back["large"].flags.owndata


def test_a_view_that_is_passed_on_is_not_written_again(plane: Plane) -> None:
    first = plane.encode(numpy.arange(1_000.0), PRODUCER, RULES)
    view = plane.decode(first)
    second = plane.encode({"again": view, "n": 1}, PRODUCER, RULES)

    assert decode(second)["again"].entry == decode(first).entry
    assert plane.counters.passed_on == 8_000
    assert plane.counters.written == 8_000


def test_the_same_value_twice_is_written_once(plane: Plane) -> None:
    rows = numpy.arange(1_000.0)
    document = decode(plane.encode({"a": rows, "b": rows}, PRODUCER, RULES))

    assert document["a"] == document["b"]
    assert plane.counters.written == 8_000


def test_large_items_of_a_list_are_refs_inside_of_it(plane: Plane) -> None:
    arrays = [numpy.full(1_000, i, dtype="f8") for i in range(40)]
    payload = plane.encode({"parts": arrays}, PRODUCER, RULES)
    ref = decode(payload)["parts"]

    assert isinstance(ref, Ref) and ref.count == 40 and ref.nested
    numpy.testing.assert_array_equal(plane.resolve(ref.at((39,))), arrays[39])
    numpy.testing.assert_array_equal(plane.decode(payload)["parts"][7], arrays[7])
    assert len(refs_in(payload)) == 1


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: str
    pixels: numpy.ndarray
    tags: list[str] = []


@dataclasses.dataclass
class Record:
    name: str
    pixels: Any
    tags: list[str]


@pytest.mark.parametrize("kind", [Model, Record])
def test_models_and_dataclasses_are_maps_of_their_fields(plane: Plane, kind: Any) -> None:
    value = kind(name="a", pixels=numpy.arange(1_000.0), tags=["t"] * 2_000)
    document, back = there_and_back(plane, value)

    assert document["name"] == "a"
    assert isinstance(document["pixels"], Ref) and isinstance(document["tags"], Ref)
    numpy.testing.assert_array_equal(back["pixels"], value.pixels)
    assert back["tags"] == ["t"] * 2_000


@pytest.mark.parametrize("length", [6, 6_000])
def test_a_view_with_gaps_comes_back_as_its_bytes_wherever_it_stands(plane: Plane, length: int) -> None:
    gaps = memoryview(bytes(range(3)) * (length // 3))[::2]

    for value in (gaps, {"gaps": gaps}, [[{"gaps": gaps}]], {str(n): gaps for n in range(500)}):
        _, back = there_and_back(plane, value)
        while isinstance(back, (dict, list)):
            back = back[0] if isinstance(back, list) else next(iter(back.values()))
        assert bytes(back) == gaps.tobytes()


class Account(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    history: Any
    price: int = 5
    password: str = Field(default="secret", exclude=True)

    @field_serializer("price")
    def _with_currency(self, price: int) -> str:
        return f"{price} EUR"

    @computed_field
    @property
    def entries(self) -> int:
        return len(self.history)


class Lines(RootModel[list[str]]):
    pass


@pytest.mark.parametrize("history", [b"x", b"x" * 5_000, numpy.zeros(1), numpy.zeros(5_000)])
def test_a_model_is_what_it_says_that_it_is_however_large(plane: Plane, history: Any) -> None:
    account = Account(history=history)

    for value in (account, {"account": account}):
        document, _ = there_and_back(plane, value)
        found = document.get("account", document)
        assert {name: found[name] for name in found if name != "history"} == {"price": "5 EUR", "entries": len(history)}


@pytest.mark.parametrize("count", [3, 5_000])
def test_a_model_of_a_list_is_a_list_however_long(plane: Plane, count: int) -> None:
    document, back = there_and_back(plane, Lines(["line"] * count))

    assert back == ["line"] * count
    assert count == 3 or document.count == count


@pytest.mark.parametrize("value", [lambda: 1, {"f": object()}, 1 << 70, {"deep": [object()]}])
def test_what_has_no_form_as_bytes_is_refused(plane: Plane, value: Any) -> None:
    with pytest.raises(UnencodableValue):
        plane.encode(value, PRODUCER, RULES)


def test_a_value_that_contains_itself_is_refused(plane: Plane) -> None:
    value: dict[str, Any] = {}
    value["self"] = value

    with pytest.raises(UnencodableValue, match="nested without end"):
        plane.encode(value, PRODUCER, RULES)


def test_a_layout_that_found_no_room_writes_nothing_twice(tmp_path: Path) -> None:
    plane = Plane(ArenaSettings(tmp_path / "arena", max_bytes=16 << 20, run_max_bytes=16 << 20))
    value = {name: numpy.full(640_000, float(n)) for n, name in enumerate("ab")}
    layout = plane.layout(PRODUCER, RULES)
    arena = plane.arena
    assert arena is not None
    fillers = arena.write("bytes", [bytes(7 << 20)], run="other")

    for _ in range(5):
        with pytest.raises(ArenaFull):
            layout.payload(value)
    assert plane.counters.written == value["a"].nbytes, "the one that found room"

    next((tmp_path / "arena").glob(f"{fillers.segment}.*")).unlink()
    numpy.testing.assert_equal(plane.decode(layout.payload(value)), value)
    assert plane.counters.written == 2 * value["a"].nbytes
    layout.forget()
    plane.close()


def test_coded_values_of_any_length_inside_a_large_list_come_back(plane: Plane) -> None:
    for length in (1, 7_000, 9_000, 12_500):  # each has another head in msgpack
        arrays = [numpy.zeros(length) for _ in range(min(800_000 // length, 20_000))]
        value = plane.decode(plane.encode(arrays, PRODUCER, Payloads(inline_max="512KiB")))
        assert isinstance(value, list) and all(isinstance(item, numpy.ndarray) and len(item) == length for item in value)


def test_an_arena_whose_folder_was_removed_is_made_anew_under_its_id(plane: Plane, tmp_path: Path) -> None:
    array = numpy.arange(1_000.0)
    lost = plane.encode(array, PRODUCER, RULES)
    shutil.rmtree(tmp_path / "arena")
    again = plane.encode(array + 1, PRODUCER, RULES)

    assert decode(again).host == decode(lost).host
    numpy.testing.assert_array_equal(plane.decode(again), array + 1)
    with pytest.raises(PayloadLost):
        plane.decode(lost)
