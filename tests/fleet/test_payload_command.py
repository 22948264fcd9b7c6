"""Large values as a person gets at them: in what runs show, by `jetfleet payload`, and in the arena, against one whole fleet of processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.cli.payload_files import save_value
from jetfleet.broker.fleet.membership import WORKER, Membership
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.cli import main
from jetfleet.schemas.errors import UsageError
from jetfleet.schemas.messages import DeadLetter
from jetfleet.schemas.payload import encode
from jetfleet.schemas.ref import Ref
from jetfleet.workers.up.fleet import FleetSettings

from .background_fleet import BackgroundFleet

NODES = str(Path(__file__).with_name("value_nodes.py"))
MAKE = """
name: make
triggers: [{id: go, type: manual}]
nodes:
  array: {type: v.array}
  table: {type: v.table}
  blob: {type: v.blob}
  text: {type: v.text}
  list: {type: v.list}
  image: {type: v.image}
  small: {type: v.small}
edges:
  - {from: go, to: array}
  - {from: go, to: table}
  - {from: go, to: blob}
  - {from: go, to: text}
  - {from: go, to: list}
  - {from: go, to: image}
  - {from: go, to: small}
"""
REPEATED = """
name: repeated
triggers: [{id: go, type: manual}]
nodes:
  each: {type: std::split, config: {field: $, mode: parallel}}
  one: {type: std::set, config: {values: {a: 1}}}
  stop: {type: std::raise, config: {type: stopped, message: enough}}
edges:
  - {from: go, to: each}
  - {from: each.item, to: one}
  - {from: each.done, to: stop}
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundFleet]:
    folder = tmp_path_factory.mktemp("payloads")
    (folder / "make.yaml").write_text(MAKE)
    arena = ("--arena-max", str(64 << 20), "--arena-keep", "3600")
    with BackgroundFleet(FleetSettings(data=folder / "data", port=0, partitions=2, nodes=(NODES,), log_level="error", arena=arena)) as one:
        one.do(one.fleet.client.deploy(folder / "make.yaml", nodes=[NODES]))
        one.do(one.fleet.client.deploy(REPEATED))
        yield one


@pytest.fixture
def cli(whole: BackgroundFleet, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    monkeypatch.setenv("JETFLEET_NATS", whole.url)
    monkeypatch.setenv("JETFLEET_DATA", str(whole.fleet.server.data))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: str) -> Said:
        capfdbinary.readouterr()
        code = main(args)
        said = capfdbinary.readouterr()
        assert b"Traceback" not in said.err
        return Said(code, said.out, said.err.decode())

    return call


@pytest.fixture(scope="module")
def made(whole: BackgroundFleet) -> str:
    """A run of all nodes that has ended."""
    result = whole.do(whole.fleet.client.run("make", {"n": 1}, id="made"))
    assert result.completed, result.error
    return str(result.run_id)


def ref_of(cli: Cli, run: str, node: str) -> str:
    """The ref of a node's output, as the run's JSON has it."""
    (shown,) = cli("runs", "show", run, "-o", "json").rows
    return str(shown["nodes"][node]["output"]["$ref"])


# --- what runs show


def test_a_run_shows_refs_and_small_arrays_by_what_they_are(cli: Cli, made: str) -> None:
    (shown,) = cli("runs", "show", made, "-o", "json").rows
    array = shown["nodes"]["array"]["output"]
    assert array["$ref"].startswith("ref:")
    assert (array["codec"], array["bytes"], array["count"], array["what"]) == ("numpy", 240_000, 10_000, "float64[10000,3]")
    assert shown["nodes"]["table"]["output"]["count"] == 20_000
    assert shown["nodes"]["table"]["output"]["rows"]["codec"] == "arrow"
    assert shown["nodes"]["small"]["output"] == {"$coded": "numpy", "bytes": 24, "what": "int64[3]"}
    assert shown["output"]["array"] == array


def test_people_see_the_same_in_words(cli: Cli, made: str) -> None:
    said = cli("runs", "show", made)
    assert said.code == 0
    assert "‹numpy float64[10000,3], 234.4 KiB, ref:" in said.text
    assert "‹numpy int64[3], 24 bytes›" in said.text


@pytest.mark.parametrize("command", [("runs", "history"), ("runs", "result")])
@pytest.mark.parametrize("form", ["table", "json"])
def test_journals_and_results_show_refs_too(cli: Cli, made: str, command: tuple[str, ...], form: str) -> None:
    said = cli(*command, made, "-o", form)
    assert said.code == 0, said.err
    assert "ref:" in said.text


def test_who_waits_for_a_run_sees_refs(cli: Cli) -> None:
    (result,) = cli("run", "make", "-o", "json").rows
    assert result["output"]["blob"]["codec"] == "bytes"


def test_a_dead_letter_with_a_ref_in_it_is_shown(cli: Cli, whole: BackgroundFleet) -> None:
    ref = Ref("numpy", 240_000, 7, "host-1f", "w-1", 1, 4160)
    letter = DeadLetter("event", "EVENT_REJECTED", "no such flow", "events.gone.go", encode({"rows": ref}), 7)
    sent = whole.do(whole.fleet.client.connection.publisher.publish(subjects.dead("event"), messages.encode(letter)))
    (shown,) = cli("dlq", "show", str(sent.seq), "-o", "json").rows
    assert shown["data"]["rows"]["$ref"] == str(ref)
    assert "‹numpy, 234.4 KiB, ref:host-1f/w-1/1/4160›" in cli("dlq", "show", str(sent.seq)).text


# --- payload cat


def test_bytes_and_texts_are_printed_as_they_are(cli: Cli, made: str) -> None:
    assert cli("payload", "cat", f"{made}:blob").out == bytes(range(256)) * 1_000
    assert cli("payload", "cat", f"{made}:text").text == "héllo\n" * 20_000 + "\n"


def test_a_ref_is_found_as_it_is_printed(cli: Cli, made: str) -> None:
    ref = ref_of(cli, made, "blob")
    assert cli("payload", "cat", ref).out == bytes(range(256)) * 1_000


def test_an_entry_of_this_hosts_arena_needs_no_server(cli: Cli, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ref_of(cli, made, "list")
    monkeypatch.setenv("JETFLEET_NATS", "nats://127.0.0.1:1")
    assert cli("payload", "cat", f"{ref}[29999]", "-o", "json").rows == [{"n": 29_999}]


def test_a_path_leads_into_an_output(cli: Cli, made: str) -> None:
    assert cli("payload", "cat", f"{made}:list[7].n").rows == [7]
    assert cli("payload", "cat", f"{made}:table.count").rows == [20_000]
    assert cli("payload", "cat", f"{made}:table.rows[3].name").text == "n3\n"
    assert cli("payload", "cat", f"{made}:output.array[2][1]").rows == [7.0]
    assert cli("payload", "cat", f"{made}:trigger").rows == [{"n": 1}]


def test_of_arrays_and_tables_the_beginning_is_printed(cli: Cli, made: str) -> None:
    array = cli("payload", "cat", f"{made}:array").text
    assert array.startswith("‹numpy float64[10000,3], 234.4 KiB›\n[[")
    assert "..." in array
    table = cli("payload", "cat", f"{made}:table.rows").text.splitlines()
    assert table[0].startswith("‹arrow 20,000 × 2, ")
    assert table[1].split() == ["id", "name"]
    assert table[-1] == "… 19,980 more rows"


def test_programs_get_arrays_and_tables_as_json(cli: Cli, made: str) -> None:
    assert cli("payload", "cat", f"{made}:array[1]", "-o", "json").rows == [[3.0, 4.0, 5.0]]
    rows = cli("payload", "cat", f"{made}:table.rows", "-o", "json").rows
    assert (len(rows), rows[5]) == (20_000, {"id": 5, "name": "n5"})


def test_a_client_on_another_machine_gets_the_bytes_through_the_object_store(cli: Cli, made: str, tmp_path: Path) -> None:
    said = cli("payload", "cat", f"{made}:blob", "--data", str(tmp_path))
    assert said.out == bytes(range(256)) * 1_000


# --- payload save


def test_values_are_saved_in_the_format_of_the_files_name(cli: Cli, made: str, tmp_path: Path) -> None:
    def saved(what: str, name: str) -> Path:
        said = cli("payload", "save", f"{made}:{what}", str(tmp_path / name))
        assert said.code == 0, said.err
        return tmp_path / name

    array = numpy.arange(30_000.0).reshape(10_000, 3)
    assert numpy.array_equal(numpy.load(saved("array", "a.npy")), array)
    assert saved("array", "a.bin").read_bytes() == array.tobytes()
    assert numpy.array_equal(numpy.loadtxt(saved("array", "a.csv"), delimiter=","), array)
    assert pyarrow.parquet.read_table(saved("table.rows", "t.parquet")).num_rows == 20_000
    assert pyarrow.feather.read_table(saved("table.rows", "t.arrow")).column("id")[19_999].as_py() == 19_999
    assert saved("table.rows", "t.csv").read_text().splitlines()[:2] == ['"id","name"', '0,"n0"']
    assert saved("blob", "b").read_bytes() == bytes(range(256)) * 1_000
    assert saved("text", "t.txt").read_text() == "héllo\n" * 20_000
    assert json.loads(saved("list", "l.json").read_bytes())[2] == {"n": 2}
    assert Image.open(saved("image", "i.png")).getpixel((299, 199)) == (255, 0, 0)
    assert saved("blob", "raw.png").read_bytes()[:4] == bytes(range(4))  # bytes may be in any format already


def test_a_table_that_a_format_has_no_room_for_says_so(tmp_path: Path) -> None:
    nested = pyarrow.table({"a": [{"b": 1}]})
    with pytest.raises(UsageError, match="choose another ending"):
        save_value(nested, tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []
    assert save_value(nested, tmp_path / "t.parquet") == (tmp_path / "t.parquet").stat().st_size


def test_what_is_no_file_is_not_replaced_by_one_and_a_link_stays_a_link(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "file")
    for no_file in (pipe, Path("-")):
        with pytest.raises(UsageError, match="no file; `jetfleet payload cat`"):
            save_value("text", no_file)
    assert pipe.is_fifo()
    save_value("text", link)
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_a_file_that_was_there_stays_where_the_value_has_no_such_form(cli: Cli, made: str, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_text("before")
    said = cli("payload", "save", f"{made}:array", str(file))
    assert said.code == 2
    assert "cannot be saved as .parquet" in said.err
    assert [each.name for each in tmp_path.iterdir()] == ["x.parquet"]
    assert file.read_text() == "before"


@pytest.mark.parametrize(
    ("place", "code", "says"),
    [
        ("nothing", 2, "no place of a payload"),
        ("{run}:nobody", 2, "has no 'nobody'; it has: array, table"),
        ("{run}:table.nothing", 2, "nothing at `nothing`"),
        ("{run}:list[40000]", 2, "nothing at `[40000]`"),
        ("{run}:list[1].x", 2, "nothing at `[1].x`"),
        ("{run}:image.width", 2, "nothing at `width`"),
        ("{run}:blob[3]", 2, "nothing at `[3]`"),
        ("no-such-run:array", 1, "UNKNOWN_RUN"),
        ("ref:elsewhere-1234/w-1/1/4096", 1, "PAYLOAD_ELSEWHERE"),
        ("ref:abcdef0123", 1, "PAYLOAD_LOST"),
        ("{arena}/w-1/1/4096", 1, "PAYLOAD_LOST"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_try(cli: Cli, made: str, place: str, code: int, says: str) -> None:
    arena = ref_of(cli, made, "blob").partition("/")[0]
    said = cli("payload", "cat", place.format(run=made, arena=arena))
    assert (said.code, says in said.err) == (code, True), said.err


def test_of_the_many_items_of_a_split_the_first_and_the_last_are_named(cli: Cli, whole: BackgroundFleet) -> None:
    ended = whole.do(whole.fleet.client.run("repeated", list(range(50))))
    assert "it has: each, one[0] … one[49], stop, output, trigger" in cli("payload", "cat", f"{ended.run_id}:nobody").err
    assert f"run {ended.run_id}, which is failed, has no output; `jetfleet runs show" in cli("payload", "cat", f"{ended.run_id}:output").err


# --- arena


def test_the_arena_tells_how_full_it_is_and_who_holds_it(cli: Cli, made: str) -> None:
    (stats,) = cli("arena", "stats", "--arena-max", "64MiB", "-o", "json").rows
    assert stats["limit_bytes"] == 64 << 20
    assert 0 < stats["held_bytes"] < stats["used_bytes"] <= stats["limit_bytes"]
    assert stats["kept"] is True
    assert made in [each["run"] for each in stats["largest_runs"]]
    assert made in cli("arena", "stats").text


def test_entries_are_listed_with_the_refs_by_which_they_are_found(cli: Cli, made: str) -> None:
    entries = cli("arena", "ls", "--run", made, "-o", "json").rows
    assert {"numpy", "arrow", "bytes", "text", "list", "image"} == {each["codec"] for each in entries}
    blob = next(each for each in entries if each["codec"] == "bytes")
    assert cli("payload", "cat", blob["ref"]).out == bytes(range(256)) * 1_000
    assert cli("arena", "ls", "--run", made).text.splitlines()[0].split() == ["REF", "RUN", "CODEC", "SIZE", "WRITTEN"]


def test_segments_are_listed_with_what_they_hold(cli: Cli, made: str) -> None:
    segments = cli("arena", "ls", "--segments", "--run", made, "-o", "json").rows
    assert sum(each["entries"] for each in segments) >= 6
    assert {each["state"] for each in segments} == {"in use"}


def test_an_arena_that_is_whole_is_verified(cli: Cli, made: str) -> None:
    said = cli("arena", "verify")
    assert (said.code, said.out) == (0, b"")
    assert "all right" in said.err


def test_nobody_frees_beside_the_keeper(cli: Cli, made: str) -> None:
    said = cli("arena", "gc")
    assert said.code == 2
    assert "--arena-keep" in said.err


def test_an_object_is_found_by_the_beginning_of_its_digest(cli: Cli, whole: BackgroundFleet) -> None:
    handle = whole.do(whole.fleet.client.start("make", {"big": "x" * 300_000}))
    assert whole.do(handle.result()).completed
    event = cli("runs", "history", handle.id, "-o", "json").rows[0]["payload"]
    said = cli("payload", "cat", event["big"]["$ref"])
    assert said.out == b"x" * 300_000


def test_by_hand_is_freed_what_the_fleet_says_is_over(cli: Cli, made: str, tmp_path: Path) -> None:
    arena = Arena.open(ArenaSettings(tmp_path / "arena"), writer="one")
    of_a_run_that_is_over = arena.write("bytes", [b"x" * 100_000], run=made)
    arena.close()
    other = Arena.open(ArenaSettings(tmp_path / "arena"), writer="two")
    of_nobody_knows_what = other.write("bytes", [b"y" * 100_000], run="orders-1")
    other.close()
    at = ("--arena", str(tmp_path / "arena"))
    (swept,) = cli("arena", "gc", *at, "-o", "json").rows
    assert (swept["freed"], swept["needed"]) == (1, 1)
    assert cli("payload", "cat", str(of_nobody_knows_what), *at).out == b"y" * 100_000
    said = cli("payload", "cat", str(of_a_run_that_is_over), *at)
    assert (said.code, "PAYLOAD_LOST" in said.err) == (1, True)


# --- doctor


def test_the_doctor_tells_how_full_the_arenas_are(cli: Cli, whole: BackgroundFleet, made: str) -> None:
    found = [row for row in cli("doctor", "-o", "json").rows if row["check"] == "arenas"]
    assert [(row["grade"], row["says"].split(",")[0]) for row in found] == [("ok", "1 host")]


def test_the_doctor_calls_for_somebody_where_an_arena_is_full_or_cannot_be_used(cli: Cli, whole: BackgroundFleet) -> None:
    async def join(**facts: Any) -> Membership:
        member = Membership(whole.fleet.client.connection, WORKER, facts=facts, id=f"worker-{facts['arena']}")
        await member.start()
        return member

    members = [whole.do(join(arena="full-1", arena_full=0.97)), whole.do(join(arena="broken-1", arena_full="the arena cannot be used"))]
    try:
        found = {row["says"]: row["grade"] for row in cli("doctor", "-o", "json").rows if row["check"] == "arenas"}
    finally:
        for member in members:
            whole.do(member.stop())
    assert sorted(found.values()) == ["bad", "bad"]
    assert any("97% of the arena of full-1" in says and "--arena-max" in says for says in found)
    assert "worker-broken-1: the arena cannot be used" in found
