"""Views: what a node function gets whose parameter asks for bytes, an array, a table, an image, a file or a stream."""

from __future__ import annotations

import asyncio
import io
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from jetfleet.broker.codecs.path import FileView
from jetfleet.schemas.errors import Permanent
from jetfleet.workers.files import AttemptFiles, files_for_attempt
from jetfleet.workers.signature import read_signature
from jetfleet.workers.streams import CHUNK_BYTES
from jetfleet.workers.views import View, wanted

from .memory import address

BODY = memoryview(bytes(range(200)))
FILE = FileView("data.bin", BODY)
LARGE = memoryview(bytes(2 * CHUNK_BYTES + 5))


def fitted(annotation: Any, value: Any, **named: Any) -> Any:
    view = wanted(annotation)
    assert view is not None
    return view.fit(value, **named)


def misfit(annotation: Any, value: Any) -> str:
    with pytest.raises(Permanent) as caught:
        fitted(annotation, value)
    assert (caught.value.type, caught.value.retryable) == ("invalid_input", False)
    return str(caught.value)


def given_to(function: Callable[..., Any], value: Any) -> Any:
    return read_signature(function).bind(function, None)(value)


async def collected(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


# --- which annotations ask for a view


@pytest.mark.parametrize(
    "annotation",
    [
        memoryview, bytes, bytearray, np.ndarray, npt.NDArray[np.float64], npt.NDArray[Any], np.ndarray[Any, Any], pa.Table, pa.RecordBatch,
        pd.DataFrame, pd.Series, Image.Image, Path, BinaryIO, IO[bytes], io.BufferedIOBase, io.RawIOBase, Iterator[bytes], Iterable[memoryview],
        typing.Iterator[bytes], AsyncIterator[bytes], AsyncIterable[memoryview], np.ndarray | None, Path | None,
    ],
    ids=str,
)  # fmt: skip
def test_these_annotations_ask_for_a_view(annotation: Any) -> None:
    assert isinstance(wanted(annotation), View)


@pytest.mark.parametrize(
    "annotation", [Any, object, str, int, dict, list[int], Iterator[int], bytes | str, IO[Any], list[bytes], None], ids=str
)
def test_other_annotations_ask_for_none(annotation: Any) -> None:
    assert wanted(annotation) is None


def test_a_node_that_asks_for_a_view_is_given_memory_and_no_copies() -> None:
    def looks(value: npt.NDArray[np.uint8]) -> None: ...

    def reads(value: dict[str, bytes]) -> None: ...

    assert read_signature(looks).raw
    assert not read_signature(reads).raw


# --- bytes


@pytest.mark.parametrize(
    "value", [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc", np.frombuffer(b"abc", np.uint8), FileView("x", memoryview(b"abc"))]
)
def test_bytes_are_what_any_memory_holds(value: Any) -> None:
    assert fitted(bytes, value) == b"abc"
    assert fitted(bytearray, value) == bytearray(b"abc")
    assert bytes(fitted(memoryview, value)) == b"abc"
    assert type(fitted(bytes, value)) is bytes


def test_a_memoryview_is_the_memory_itself_and_cannot_be_written() -> None:
    assert address(fitted(memoryview, BODY)) == address(BODY)
    assert address(fitted(memoryview, FILE)) == address(BODY)
    assert fitted(memoryview, bytearray(b"abc")).readonly
    assert fitted(memoryview, np.zeros(0)).nbytes == 0


@pytest.mark.parametrize(
    ("value", "word"), [({}, "a map"), ([1], "a list"), (3, "a number"), (None, "null"), (True, "a boolean"), (pa.table({}), "a Table")]
)
def test_what_is_no_memory_is_refused_in_words(value: Any, word: str) -> None:
    assert misfit(memoryview, value) == f"the input does not fit: it should be bytes, and is {word}"


# --- arrays


def test_an_array_is_given_as_it_is() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert fitted(np.ndarray, array) is array
    assert fitted(npt.NDArray[np.float64], array) is array
    assert fitted(npt.NDArray[np.floating[Any]], array) is array
    assert fitted(npt.NDArray[Any], array) is array


def test_bytes_are_an_array_of_uint8_on_the_same_memory() -> None:
    for value in (BODY, FILE):
        array = fitted(np.ndarray, value)
        assert (array.dtype, array.shape, array.flags.writeable) == (np.uint8, (200,), False)
        assert np.shares_memory(array, np.frombuffer(BODY, np.uint8))
    assert fitted(np.ndarray, b"").shape == (0,)


def test_a_column_or_a_series_is_an_array_without_a_copy_where_it_has_no_gaps() -> None:
    column = pa.table({"a": np.arange(100.0)})["a"]
    series = pd.Series(np.arange(100.0))
    assert fitted(np.ndarray, column).ctypes.data == column.chunk(0).buffers()[1].address
    assert np.shares_memory(fitted(np.ndarray, series), series.to_numpy())
    assert fitted(np.ndarray, pa.chunked_array([[1], [2]])).tolist() == [1, 2]


def test_a_list_of_numbers_is_an_array_of_the_items_asked_for() -> None:
    assert fitted(np.ndarray, [[1, 2], [3, 4]]).shape == (2, 2)
    assert fitted(npt.NDArray[np.float64], [1, 2]).dtype == np.float64
    assert fitted(npt.NDArray[np.integer[Any]], [1, 2]).tolist() == [1, 2]


def test_an_image_is_an_array_of_pixels() -> None:
    assert fitted(np.ndarray, Image.new("RGB", (3, 2))).shape == (2, 3, 3)


def test_an_array_of_other_items_is_refused_with_both_types() -> None:
    assert "of float64, and is one of int64" in misfit(npt.NDArray[np.float64], np.arange(3))
    assert "of float64, and is one of uint8" in misfit(npt.NDArray[np.float64], BODY)
    assert "of int8, and is one of float64" in misfit(npt.NDArray[np.int8], [1.5])


@pytest.mark.parametrize("value", [{"a": 1}, "text", None, [[1], [1, 2]], [{}, None], pa.table({"a": [1]})])
def test_what_is_no_array_is_refused(value: Any) -> None:
    assert misfit(np.ndarray, value).startswith("the input does not fit")


# --- tables, frames, images


TABLE = pa.table({"id": [1, 2], "name": ["a", "b"]})
ROWS = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


@pytest.mark.parametrize("value", [TABLE, TABLE.to_batches()[0], TABLE.to_pandas(), ROWS], ids=["table", "batch", "frame", "rows"])
def test_a_table_is_made_of_whatever_has_rows(value: Any) -> None:
    assert fitted(pa.Table, value).to_pylist() == ROWS
    assert fitted(pa.RecordBatchReader, value).read_all().to_pylist() == ROWS
    assert fitted(pa.RecordBatch, value).to_pylist() == ROWS
    assert fitted(pd.DataFrame, value).to_dict("records") == ROWS


def test_a_table_is_given_as_it_is_and_a_batch_is_on_its_memory() -> None:
    assert fitted(pa.Table, TABLE) is TABLE
    batch = fitted(pa.RecordBatch, TABLE)
    assert batch.column(0).buffers()[1].address == TABLE["id"].chunk(0).buffers()[1].address
    assert fitted(pa.RecordBatch, TABLE.slice(0, 0)).num_rows == 0
    assert fitted(pa.RecordBatch, pa.concat_tables([TABLE, TABLE])).num_rows == 4


@pytest.mark.parametrize("value", [pd.Series([1, 2]), TABLE["id"], [1, 2], np.array([1, 2])], ids=["series", "column", "list", "array"])
def test_a_series_is_made_of_whatever_has_items(value: Any) -> None:
    assert fitted(pd.Series, value).tolist() == [1, 2]


def test_an_image_is_made_of_pixels_or_of_the_bytes_of_an_image_file() -> None:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (1, 2, 3)).save(file, "PNG")
    png = memoryview(file.getvalue())
    for value in (Image.new("RGB", (3, 2), (1, 2, 3)), png, FileView("a.png", png), np.full((2, 3, 3), (1, 2, 3), np.uint8)):
        image = fitted(Image.Image, value)
        assert (image.size, image.getpixel((2, 1))) == ((3, 2), (1, 2, 3))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(pa.Table, 1), (pa.Table, [1]), (pa.Table, b"x"), (pa.RecordBatch, "x"), (pd.DataFrame, {"a": 1}), (pd.Series, TABLE), (Image.Image, b"no image"), (Image.Image, "x")],
)  # fmt: skip
def test_what_is_no_table_series_or_image_is_refused(annotation: Any, value: Any) -> None:
    assert misfit(annotation, value).startswith("the input does not fit")


def test_null_is_given_where_the_annotation_says_so() -> None:
    assert fitted(np.ndarray | None, None) is None
    assert fitted(Path | None, None) is None
    assert "null" in misfit(np.ndarray, None)


# --- files


def test_a_path_is_a_read_only_file_of_the_same_name_for_the_time_of_the_attempt(tmp_path: Path) -> None:
    with files_for_attempt(tmp_path):
        path = given_to(unchanged, FILE)
        assert (path.name, path.read_bytes(), path.stat().st_mode & 0o777) == ("data.bin", bytes(BODY), 0o400)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def unchanged(value: Path) -> Path:
    return value


def test_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    files = AttemptFiles(tmp_path)
    paths = [fitted(Path, value, files=files) for value in (FILE, FileView("data.bin", memoryview(b"other")), b"bytes")]
    assert [path.read_bytes() for path in paths] == [bytes(BODY), b"other", b"bytes"]
    assert len(set(paths)) == 3
    files.close()


def test_nothing_is_made_where_no_file_is_wanted(tmp_path: Path) -> None:
    with files_for_attempt(tmp_path):
        assert given_to(length_of, BODY) == 200
        assert list(tmp_path.iterdir()) == []


def length_of(value: memoryview) -> int:
    return value.nbytes


def test_a_text_is_a_path_that_the_sender_means() -> None:
    assert fitted(Path, "/data/report.csv") == Path("/data/report.csv")
    assert "no file can be made" in misfit(Path, FILE)


def test_a_file_that_is_open_can_be_read_and_sought(tmp_path: Path) -> None:
    for annotation in (BinaryIO, io.BufferedIOBase, io.RawIOBase):
        with fitted(annotation, FILE) as file:
            assert (file.name, file.read(3), file.seek(-2, io.SEEK_END), file.read(), file.read()) == (
                "data.bin",
                BODY[:3],
                198,
                BODY[198:],
                b"",
            )
            assert (file.seek(10), file.seek(5, io.SEEK_CUR), file.read(1), file.tell()) == (10, 15, BODY[15:16], 16)
            assert file.seek(1000) == 1000
            assert file.read(1) == b""
            assert file.readable() and file.seekable() and not file.writable()
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)
        with pytest.raises(ValueError, match="closed"):
            file.read(1)


def test_a_file_of_text_is_read_line_by_line() -> None:
    for annotation in (TextIO, IO[str], io.TextIOBase):
        assert list(fitted(annotation, "één\r\ntwo".encode())) == ["één\n", "two"]


def test_libraries_read_such_a_file() -> None:
    assert pd.read_csv(fitted(BinaryIO, b"a,b\n1,2\n")).to_dict("records") == [{"a": 1, "b": 2}]
    assert list(fitted(BinaryIO, "one\ntwo\n")) == [b"one\n", b"two\n"]


# --- chunks


def test_an_iterator_yields_pieces_of_a_mebibyte() -> None:
    pieces = list(fitted(Iterator[bytes], LARGE))
    assert [type(piece) for piece in pieces] == [bytes] * 3
    assert [len(piece) for piece in pieces] == [CHUNK_BYTES, CHUNK_BYTES, 5]
    assert list(fitted(Iterable[bytes], b"")) == []


def test_pieces_as_memoryviews_are_no_copies() -> None:
    pieces = list(fitted(Iterator[memoryview], LARGE))
    assert [address(piece).start - address(LARGE).start for piece in pieces] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]


def test_an_async_iterator_yields_the_same() -> None:
    assert asyncio.run(collected(fitted(AsyncIterator[bytes], LARGE))) == list(fitted(Iterator[bytes], LARGE))
    assert asyncio.run(collected(fitted(AsyncIterable[memoryview], b"abc"))) == [b"abc"]


def test_a_list_of_bytes_is_iterated_item_by_item() -> None:
    assert list(fitted(Iterator[bytes], [b"a", b"bc"])) == [b"a", b"bc"]
    assert "a list" in misfit(Iterator[bytes], [b"a", 1])
