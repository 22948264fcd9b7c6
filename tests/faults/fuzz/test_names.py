"""Names from outside never become another subject, header, path, statement or command to a terminal."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import structlog

from jetfleet.broker.cli.printing import printable
from jetfleet.broker.client.wire import encode_headers, encode_subject
from jetfleet.broker.observe.logs import configure
from jetfleet.broker.read_model.search import compile_filter
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.errors import JetfleetError, UsageError
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import RunStarted
from jetfleet.schemas.source.loader import parse_flow

from ...fleet.fleets import chain, fleet
from ...fleet.running import run

HOSTILE = (
    "", " ", "a b", "a\tb", "a\r\nPUB events.x 0", "a\nb", "a\x00b", "a.b", ".a", "a..b", "*", ">", "a.*", "a.>", "..", "../a", "a/b", "a\\b", "%2e%2e", "%0d%0a",
    "ünï", "ordеrs", "\u202eabc", "\u200b", "\ufeff", "$JS.API.x", "$SYS", "'; DROP TABLE runs; --", '"', "a" * 10_000, "\x1b[2J", "\x9b2J", "\x7f", "=x", "-x", "~", "²",
)  # fmt: skip
EACH = pytest.mark.parametrize("name", HOSTILE, ids=ascii)


@EACH
def test_a_subject_is_one_line_of_plain_words_or_none(name: str) -> None:
    for subject in (name, f"events.orders.{name}", f"{name}.api"):
        try:
            written = encode_subject(subject)
        except UsageError:
            continue
        assert not set(b" \t\r\n\x00") & set(written) and not {b"*", b">", b""} & set(written.split(b"."))


@EACH
def test_a_header_is_one_line(name: str) -> None:
    for headers in ({name: "value"}, {"Nats-Msg-Id": name}):
        try:
            written = encode_headers(headers)
        except UsageError:
            continue
        assert written.count(b"\r\n") == 3 and written.count(b"\n") == 3 and written.endswith(b"\r\n\r\n")


@EACH
def test_a_run_is_one_word_below_its_pins_and_its_timers(name: str) -> None:
    """Ids of runs come from records, and a record from anybody."""
    for subject in (subjects.object_pin(name, "d" * 64), subjects.timer(0, name)):
        assert len(encode_subject(subject).split(b".")) <= 4 and len(subject) < 400
    assert 0 <= subjects.partition_of(name, 16) < 16 and subjects.partition_in(f"fired.{name}", 16) is None


@EACH
def test_a_flow_a_node_a_trigger_and_a_queue_have_names_that_are_words(name: str) -> None:
    for definition in (
        {"name": name, "nodes": {"a": {"type": "f.a"}}},
        {"name": "f", "nodes": {name: {"type": "f.a"}}},
        {"name": "f", "nodes": {"a": {"type": "f.a", "queue": name}}},
        {"name": "f", "nodes": {"a": {"type": "f.a"}}, "triggers": [{"id": name, "type": "manual"}]},
        {"name": "f", "nodes": {"a": {"type": "f.a"}}, "triggers": [{"id": "q", "type": "queue", "params": {"name": name}}]},
    ):
        text = json.dumps(definition).encode()
        found = parse_flow(text)
        assert found.flow is None and found.errors, text


@EACH
def test_a_name_in_a_filter_travels_as_a_parameter(name: str) -> None:
    try:
        condition = compile_filter('id = "' + name.replace("\\", "\\\\").replace('"', '\\"') + '"', 0)
    except JetfleetError:
        return
    assert name in condition.parameters and (name not in condition.sql or not name.strip() or name in ("=x", '"', "a b"))


@EACH
def test_what_is_printed_and_logged_does_not_steer_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(name).isprintable()
    for form in ("pretty", "json"):
        configure(form=form, role="worker")
        structlog.get_logger("jetfleet.test").warning("something", run=name, reason=name)
        logging.getLogger("jetfleet.test").warning("something %s", name)
        told = capsys.readouterr().err
        assert not {character for character in told if not character.isprintable()} - {"\n"}, told
        assert told.count("\n") == 2, "one line each"


def test_a_run_that_is_named_like_a_command_is_a_run_like_others(fresh_url: str, tmp_path: Path) -> None:
    """Who may write records may name a run anything, and its version anything; its neighbours go on."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            digest = one.coordinators[0].flows.current("orders").digest  # type: ignore[union-attr]
            for name in HOSTILE:
                records = [
                    RunStarted(name, 1, "orders", digest, "go", encode(1)),
                    RunStarted(f"v-{name}", 1, "orders", name, "go", encode(1)),
                ]
                for record in records:
                    partition = subjects.partition_of(record.run, one.client.partitions)
                    await one.client.connection.publisher.publish(subjects.wal(partition), messages.encode_all([record]))
            await one.log.ended(await one.client.send("orders", {"n": 1}), *HOSTILE)
            unknown = {letter.reason for letter in one.log.letters}
            assert len(one.log.letters) == len(HOSTILE) and all("not among the deployed versions" in reason for reason in unknown)

    run(test())
