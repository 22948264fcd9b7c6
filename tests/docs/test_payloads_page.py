"""The page about payloads says what the code does: its types, its errors, its figures, and its example runs."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import pytest
import yaml

from jetfleet.broker.arena import keeper, layout, leftovers, locks, room, settings
from jetfleet.broker.cli import arena_options
from jetfleet.broker.codecs import registry
from jetfleet.broker.coordinator import locality, object_keeping
from jetfleet.broker.engine import recovery
from jetfleet.broker.objects import encryption, external_chunks, janitor, patience, stream_chunks
from jetfleet.broker.payloads import bodies, plane, remote
from jetfleet.broker.payloads import room as waiting
from jetfleet.schemas import limits, payload_errors
from jetfleet.schemas.flow.definition import Payloads
from jetfleet.schemas.payload_errors import PayloadError
from jetfleet.workers import Registry, node, run
from jetfleet.workers.fleet import arena_keeping, elsewhere

from .tables import DOCS

PAGE = (DOCS / "payloads.md").read_text()
TEXT = " ".join(PAGE.split())
SEGMENT_BYTES = settings.ArenaSettings(DOCS).segment_bytes
ERRORS = [
    each for each in vars(payload_errors).values() if isinstance(each, type) and issubclass(each, PayloadError) and each is not PayloadError
]


def cells(table: str) -> list[list[str]]:
    """Rows of the table that begins with this line."""
    lines = PAGE.partition(table)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def block(language: str, first: str) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return next(each for each in found if each.startswith(first))


def test_every_codec_is_listed() -> None:
    assert sorted(row[0] for row in cells("| codec | value")) == sorted(registry._PLACES)


def test_every_error_is_listed_with_its_type_and_whether_it_is_tried_again() -> None:
    listed = [tuple(row[:3]) for row in cells("| type | code")]
    assert sorted(listed) == sorted((each.type, each.code, "yes" if each.retryable else "no") for each in ERRORS)


def test_the_libraries_that_can_be_missing_are_named() -> None:
    extras = {place.extra for place in registry._PLACES.values() if place.extra}
    assert [extra for extra in extras if f"[{extra}]" not in TEXT and f"`{extra}`" not in TEXT] == []


@pytest.mark.parametrize("rows", [10, 5_000])
def test_the_example_runs(rows: int) -> None:
    registered = Registry()
    code = block("python", "import numpy").replace("from jetfleet.workers import node", "")
    exec(code, {"__name__": "page", "node": partial(node, registry=registered)})
    result = asyncio.run(run(block("yaml", "name:"), {"rows": rows}, registry=registered))
    assert result.completed, result.error
    assert result.output is None if rows < 1_000 else len(result.output) == 16


def test_the_block_of_a_flow_shows_what_holds_without_it() -> None:
    shown = yaml.safe_load(block("yaml", "payloads:"))["payloads"]
    assert Payloads.model_validate(shown) == Payloads()


@pytest.mark.parametrize(
    "figure",
    [
        f"At most {limits.PAYLOAD_INLINE_MAX_BYTES >> 10} KiB",
        f"Values over {bodies.CHECKED_AT_ONCE_BYTES >> 20} MiB are checked beside",
        f"bodies up to {bodies.CHECKED_AT_ONCE_BYTES >> 20} MiB are handed out",
        f"travel inline up to {plane.PART_INLINE_MAX_BYTES >> 10} KiB",
        f"a file of {SEGMENT_BYTES >> 20} MiB",
        f"at least {settings.SMALLEST_DEFAULT_BYTES >> 20} MiB",
        f"a header block of {layout.HEADER_BLOCK_BYTES >> 10} KiB: magic `{layout.SEGMENT_MAGIC.decode()}`",
        f"aligned to {layout.ALIGNMENT} bytes",
        f"magic `{layout.ENTRY_MAGIC.decode()}`",
        f"above {keeper.HIGH_WATER:.0%} of the limit".replace("%", " %"),
        f"not used again for {leftovers.SPARE_FOR_S:g} s",
        f"has answered for {remote.GIVE_UP_S:g} s",
        f"No room in the arena for {waiting.ROOM_WAIT_S:g} s",
        f"has had no room for {patience.PATIENCE_S:g} s",
        f"every {object_keeping.SWEEP_S:g} s",
        f"Chunks of {stream_chunks.CHUNK_BYTES >> 10} KiB, {stream_chunks.WINDOW_BYTES // stream_chunks.CHUNK_BYTES} in flight",
        f"{external_chunks.CHUNK_BYTES >> 20} MiB each",
        f"`{encryption.VARIABLE}MAIN` ({encryption.KEY_BYTES} bytes",
    ],
)
def test_a_figure_of_the_page_is_that_of_the_code(figure: str) -> None:
    assert figure in TEXT


def test_what_the_page_says_in_words_is_so() -> None:
    assert settings.SEGMENTS_AT_LEAST == 8 and 8 * SEGMENT_BYTES == 512 << 20
    assert arena_options.ARENA_BYTES_MIN == 1 << 20, "neither below 1 MiB"
    assert locks.HELD_AT_MOST_S == 10, "held one of its locks for 10 s"
    assert room._WANTED_FOR_S == 5, "in the last five seconds"
    assert arena_options.KEEP_S_DEFAULT == 60, "a minute after that"
    assert arena_keeping.ROUND_S == 1, "once a second"
    assert janitor.GRACE_S == 60 and janitor.STRAY_S == 3_600, "a minute later; after an hour"
    assert locality.NEAR_MIN_BYTES == 1 << 20, "a mebibyte or more"
    assert 2 * elsewhere.LOOK_S == 0.5, "half a second"
    assert recovery.ROUNDS_MAX == 3, "up to three times"
