"""Tables, frames, images and files on their way between nodes of real flows, small inside the payload and large in the arena."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from jetfleet.workers import LocalRunner, Registry, RunResult, node

SMALL, LARGE = 10, 100_000
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])

registry = Registry()


def chain(*nodes: Any, **blocks: Any) -> dict[str, Any]:
    """A flow of nodes a, b, c … one after the other; a node is its type, or a map."""
    names = "abcdefgh"[: len(nodes)]
    return {
        "name": "chain",
        "nodes": {name: {"type": one} if isinstance(one, str) else one for name, one in zip(names, nodes, strict=True)},
        "edges": [{"from": one, "to": two} for one, two in pairwise(names)],
        **blocks,
    }


def run(flow: dict[str, Any], event: Any = None) -> RunResult:
    async def body() -> RunResult:
        async with LocalRunner(registry=registry) as runner:
            return await runner.run(flow, event)

    return asyncio.run(body())


def output(flow: dict[str, Any], event: Any = None) -> Any:
    result = run(flow, event)
    assert result.error is None, result.error
    return result.output


def kept(name: str) -> Callable[[Any], Any]:
    return node(name, registry=registry)


@kept("table.make")
def make_table(size: int) -> pa.Table:
    return pa.table({"id": np.arange(size), "price": np.arange(size) / 2, "zone": ["north", "south"] * (size // 2)})


@kept("table.grouped")
def group(table: pa.Table) -> pa.Table:
    return table.group_by("zone").aggregate([("price", "sum")]).sort_by("zone")


@kept("table.batch")
def batch(rows: pa.RecordBatch) -> int:
    return rows.num_rows


@kept("frame.filtered")
def filter_frame(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["zone"] == "north"].set_index("id")


@kept("frame.total")
def total(frame: pd.DataFrame) -> dict[str, Any]:
    return {"rows": len(frame), "index": frame.index.name, "sum": frame["price"].sum()}


@kept("array.total")
def total_of_array(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    return {"sum": values.sum(), "shape": list(values.shape)}


@kept("row.price")
def price_of_row(row: dict[str, Any]) -> float:
    return float(row["price"])


@kept("image.make")
def make_image(width: int) -> Image.Image:
    return Image.new("RGBA", (width, 3), (1, 2, 3, 4))


@kept("image.flipped")
def flip(image: Image.Image) -> Image.Image:
    image.putpixel((0, 0), (9, 9, 9, 9))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@kept("image.corners")
def corners(image: Image.Image) -> Any:
    return [list(image.getpixel((0, 0))), list(image.getpixel((image.width - 1, 0)))]  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The event that asks for a file, in a folder that the test can look into."""
    yield {"folder": str(tmp_path)}


@kept("file.write")
def write_file(order: dict[str, Any]) -> Path:
    path = Path(order["folder"]) / "report.csv"
    path.write_bytes(b"id,price\n" + b"1,2.5\n" * order["lines"])
    return path


@kept("file.path")
def look_at_path(path: Path) -> dict[str, Any]:
    return {"name": path.name, "bytes": path.stat().st_size, "path": str(path)}


@kept("file.any")
def look_at_any(value: Any) -> dict[str, Any]:
    return look_at_path(value)


@kept("file.read")
def read_file(file: BinaryIO) -> int:
    return len(pd.read_csv(file))


@kept("file.same")
def hand_on(path: Path) -> Path:
    return path


@dataclass
class Sample:
    values: np.ndarray[Any, Any]
    label: str


@kept("sample.make")
def make_sample(size: int) -> Sample:
    return Sample(np.arange(float(size)), "first")


@kept("sample.look")
def look_at_sample(sample: Sample) -> dict[str, Any]:
    return {"label": sample.label, "size": sample.values.size, "writeable": sample.values.flags.writeable}


@SIZES
def test_a_table_is_a_table_to_the_next_node(size: int) -> None:
    found = output(chain("table.make", "table.grouped"), size)
    expected = make_table(size).group_by("zone").aggregate([("price", "sum")]).sort_by("zone")
    assert found.equals(expected)
    assert output(chain("table.make", "table.batch"), size) == size


@SIZES
def test_a_table_is_a_frame_to_a_node_that_asks_for_one_and_keeps_its_index(size: int) -> None:
    found = output(chain("table.make", "frame.filtered", "frame.total"), size)
    table = make_table(size)
    north = table.filter(pc.equal(table["zone"], "north"))
    assert found == {"rows": size // 2, "index": "id", "sum": pc.sum(north["price"]).as_py()}


@SIZES
def test_a_selector_leads_to_a_column_a_row_and_an_item(size: int) -> None:
    config = {"values": {"row": "${a[3]}", "item": "${a[3].zone}", "none": "${a[3].nobody}"}}
    found = output(chain("table.make", {"type": "std::set", "config": config}), size)
    assert found == {"row": {"id": 3, "price": 1.5, "zone": "south"}, "item": "south", "none": None}


@SIZES
def test_an_image_is_an_image_to_the_next_node_and_changing_it_changes_nothing_else(size: int) -> None:
    assert output(chain("image.make", "image.flipped", "image.corners"), size) == [[1, 2, 3, 4], [9, 9, 9, 9]]


@pytest.mark.parametrize("lines", [1, 50_000], ids=["small", "large"])
@pytest.mark.parametrize("taken", ["file.path", "file.any"])
def test_a_file_is_a_file_of_its_own_to_the_next_node_and_gone_after_it(written: dict[str, Any], lines: int, taken: str) -> None:
    found = output(chain("file.write", taken), {**written, "lines": lines})
    assert (found["name"], found["bytes"]) == ("report.csv", 9 + 6 * lines)
    assert not found["path"].startswith(written["folder"])
    assert not Path(found["path"]).exists()


@pytest.mark.parametrize("lines", [1, 50_000], ids=["small", "large"])
def test_a_file_can_be_handed_on_and_be_read_as_an_open_file(written: dict[str, Any], lines: int) -> None:
    assert output(chain("file.write", "file.same", "file.read"), {**written, "lines": lines}) == lines


@SIZES
def test_a_dataclass_with_an_array_arrives_as_that_dataclass(size: int) -> None:
    assert output(chain("sample.make", "sample.look"), size) == {"label": "first", "size": size, "writeable": False}


@SIZES
def test_a_list_of_numbers_from_json_is_an_array(size: int) -> None:
    assert output(chain("array.total"), list(range(size))) == {"sum": size * (size - 1) / 2, "shape": [size]}


def test_a_value_that_does_not_fit_fails_the_attempt_for_good() -> None:
    result = run(chain("table.make", "array.total"), SMALL)
    assert result.error is not None
    assert result.error.type == "invalid_input"
    assert "should be an array" in result.error.message
