"""The page about the protocol says what the code does: fields of messages, subjects, streams, consumers, and the bytes themselves."""

from __future__ import annotations

import base64
import hashlib
import inspect
import typing
from typing import Any
from zlib import crc32

import msgspec
import pytest

from jetfleet.broker.api.events import BATCH_HEADERS
from jetfleet.broker.codecs import registry
from jetfleet.broker.coordinator import ended_runs, intake, owner
from jetfleet.broker.coordinator.events import BATCH
from jetfleet.broker.coordinator.recent_ends import NOTICE_OUTPUT_MAX_BYTES
from jetfleet.broker.fleet import membership
from jetfleet.broker.objects.encryption import Keys, object_name
from jetfleet.broker.objects.stream_chunks import CHUNK_BYTES
from jetfleet.broker.payloads import remote
from jetfleet.broker.queues import CONSUMER, INBOX, queue_stream
from jetfleet.broker.server import ServerSettings
from jetfleet.broker.topology import (
    Stream,
    fired_consumer_config,
    flow_consumer_config,
    queue_consumer_config,
    signals_consumer_config,
    streams,
    ticks_consumer_config,
    trigger_consumer_config,
)
from jetfleet.broker.triggers.queue import reading
from jetfleet.schemas import limits, records, ref, subjects
from jetfleet.schemas.payload_errors import KeyMissing, PayloadElsewhere, PayloadLost, UnknownCodec
from jetfleet.workers.executor import NODE_TIMEOUT_MS_DEFAULT
from jetfleet.workers.fleet import heartbeat, processor, settings

from .wire_tables import EXAMPLES, KEY, PAGE, STRUCTS, fields, names, rows

TEXT = " ".join(PAGE.read_text().split())
SAMPLES = {
    "partition": "<p>", "flow": "<flow>", "trigger": "<trigger>", "queue": "<queue>", "kind": "<kind>", "name": "<name>",
    "digest": "<digest>", "id": "<id>", "what": "<what>", "n": "<n>",
    "host": "<host>", "subject": "<subject>", "rest": "<rest>", "run": "<run>", "event": "<event>",
}  # fmt: skip


def test_every_message_has_its_table_of_fields() -> None:
    assert sorted(names("fields")) == sorted(STRUCTS)


@pytest.mark.parametrize("name", STRUCTS)
def test_the_fields_of_a_message_are_those_of_the_code_in_their_order(name: str) -> None:
    assert [tuple(row[:4]) for row in rows("fields", name)] == fields(STRUCTS[name])


def test_the_kinds_of_records_are_those_that_can_be_read() -> None:
    known = {str(kind.__struct_config__.tag): kind.__name__ for kind in typing.get_args(records.Record)}
    assert {row[0]: row[1] for row in rows("table", "records")} == known


def test_every_subject_that_the_code_builds_is_listed_under_its_stream() -> None:
    listed = {row[0]: row[1] for row in rows("table", "subjects")}
    built = {subjects.CANCEL, subjects.TASKS_EPOCH, subjects.TOPOLOGY, "snapshot.<p>.<name>", "timer.<p>.<digest>"}
    built |= {"object.pin.<run>.<digest>", subjects.tasks("<queue>")}
    for name, function in inspect.getmembers(subjects, inspect.isfunction):
        if function.__module__ == subjects.__name__ and name not in (
            "partition_of",
            "partition_in",
            "is_word",
            "run_id",
            "collector",
            "wal_stream",
            "queue_stream",
            "timer",
            "object_pin",
        ):
            built.add(function(*(SAMPLES[parameter] for parameter in inspect.signature(function).parameters)))
    assert set(listed) == built
    owners = {first: stream.name for stream in streams(1) for each in stream.subjects for first in [each.removesuffix(".>")]}
    owners |= {"wal.0": "WAL_<p>", "queue": "QUEUE_<name>", "on": "INBOX"}
    for subject, stream in listed.items():
        first = "wal.0" if subject == "wal.<p>" else subject.partition(".")[0]
        assert stream == owners.get(first, "–"), subject


def test_the_streams_are_those_of_the_topology() -> None:
    def row(stream: Stream) -> list[str]:
        name, ours = (each.replace("_0", "_<p>").replace(".0", ".<p>") for each in (stream.name, "`, `".join(stream.subjects)))
        last = "yes" if stream.last_per_subject else "no"
        return [name, ours, stream.storage, stream.retention, stream.discard, last]

    listed = [[cell.strip("`") for cell in row] for row in rows("table", "streams")]
    assert listed == [row(stream) for stream in (*streams(1), queue_stream("<name>"), INBOX)]
    config = streams(1)[0].config(1, 1 << 30)
    assert (config["max_age"], config["duplicate_window"]) == (0, 120 * 10**9)


def test_the_consumers_are_those_of_the_topology() -> None:
    at_queue = [queue_consumer_config("<queue>"), queue_consumer_config("<queue>", "<host>")]
    of_triggers = [trigger_consumer_config(CONSUMER)] * 2
    configs = [
        flow_consumer_config("<flow>"),
        flow_consumer_config("<flow>", "<trigger>"),
        *at_queue,
        fired_consumer_config(),
        ticks_consumer_config(),
        signals_consumer_config(),
        *of_triggers,
    ]
    listed = [[cell.strip("`") for cell in row[:5]] for row in rows("table", "consumers")]
    assert [[row[0], *row[2:]] for row in listed] == [
        [
            config["name"],
            "`, `".join(config["filter_subjects"]) or "–",
            f"{config['ack_wait'] // 10**9} s",
            "yes" if config.get("mem_storage") else "no",
        ]
        for config in configs
    ]
    for config in configs:
        for key in ("ack_policy", "deliver_policy", "max_deliver", "max_ack_pending"):
            assert f"`{key}: {config[key]}`" in TEXT


def test_runs_and_their_partitions_are_what_the_vectors_say() -> None:
    vectors = rows("table", "run_ids")
    assert len(vectors) >= 4
    for flow, key, run, crc, of_16, of_2 in vectors:
        assert subjects.run_id(flow, key) == run
        assert (f"{crc32(run.encode()):08x}", subjects.partition_of(run, 16), subjects.partition_of(run, 2)) == (crc, int(of_16), int(of_2))


def test_the_examples_are_what_the_code_writes() -> None:
    shown = {row[0]: bytes.fromhex(row[1]) for row in rows("table", "bytes")}
    assert shown == EXAMPLES
    assert all(msgspec.msgpack.decode(data) is not None for data in shown.values())


def test_the_extensions_are_those_that_are_read() -> None:
    assert [row[:2] for row in rows("table", "extensions")] == [[str(ref.REF_TYPE), "ref"], [str(ref.CODED_TYPE), "coded"]]
    fields_of_coded = [row[1] for row in rows("table", "coded")]
    assert sorted(fields_of_coded) == sorted(ref.Coded.__slots__)
    given: dict[str, Any] = {"codec": "numpy", "meta": b"meta", "body": b"body", "path": ["rows", 3], "count": 7}
    assert msgspec.msgpack.decode(ref.to_ext(ref.Coded(**given)).data) == [given[name] for name in fields_of_coded]


def test_every_codec_has_its_format() -> None:
    assert sorted(row[0] for row in rows("table", "codecs")) == sorted(registry._PLACES)


def test_an_object_is_encrypted_as_the_page_says() -> None:
    keys = Keys({"JETFLEET_PAYLOAD_KEY_MAIN": base64.b64encode(KEY).decode()})
    digest = hashlib.sha256(b"hello").hexdigest()
    assert {row[0]: row[1] for row in rows("table", "encryption")} == {
        "digest": digest,
        "name": object_name(digest, "main"),
        "key_check": keys.check("main").hex(),
        "chunk 0": keys.cipher("main", digest, 5, CHUNK_BYTES).seal(0, b"hello").hex(),
    }


def test_what_a_holder_answers_is_numbered_as_the_page_says() -> None:
    assert (remote.UNDER_WAY, remote.UPLOADED, remote.LOST, remote.FAILED) == (0, 1, 2, 3)
    assert "0: under way; 1: uploaded; 2: lost; 3: it cannot be uploaded" in TEXT


def test_the_headers_are_those_that_are_read() -> None:
    listed = {row[0] for row in rows("table", "event_headers")}
    assert listed == {"Nats-Msg-Id", "Content-Type", BATCH, "traceparent"}
    assert set(BATCH_HEADERS) == {BATCH}
    assert {row[0] for row in rows("table", "message_headers")} == {"Nats-Msg-Id", "Content-Type", reading.KEY, "traceparent"}
    assert f"header `{settings.DEATHS_HEADER}`" in TEXT and f"`{subjects.EPOCH_HEADER}`" in TEXT


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    said = [
        f"at most {limits.MESSAGE_MAX_BYTES >> 20} MiB",
        f"an output at most {limits.PAYLOAD_INLINE_MAX_BYTES >> 10} KiB",
        f"a whole completion at most {limits.COMPLETION_MAX_BYTES >> 10} KiB",
        f"longer than {NOTICE_OUTPUT_MAX_BYTES >> 10} KiB",
        f"({NODE_TIMEOUT_MS_DEFAULT:,} if missing)",
        f"takes {settings.WorkerSettings().max_deliveries - settings.SUSPECT_DEATHS} of these down",
        f"has {settings.LIVES * settings.WorkerSettings().max_deliveries} deaths",
        "({:g} to {:g} s)".format(*processor.LACKING_DELAY_S),
        f"`+WPI` every {intake.HELD_EVERY_S} s",
        f"`Nats-TTL: {membership.FORGET_AFTER_S}s`",
        f"{ended_runs.WINDOW_MS // 3_600_000} hour after its end",
        f"more than {owner.ENDED_KEPT:,} runs ended",
        f"error of type `{settings.POISON}`",
        f"error of type `{settings.PAYLOAD_TOO_LARGE}`",
        f"an Error of type `{PayloadElsewhere.type}`",
        f"an Error of type `{PayloadLost.type}`",
        f"an Error of type `{KeyMissing.type}`",
        f"or `{UnknownCodec.type}`",
        f"No answer at all for {remote.GIVE_UP_S:g} s",
        f"in chunks of {CHUNK_BYTES:,} bytes",
    ]
    assert [each for each in said if each not in TEXT] == []
    assert (heartbeat.BEATS_PER_WAIT, membership.TTL_BEATS) == (3, 4), "every third of the ack_wait; four beats"
    assert ServerSettings().payload_bytes == limits.MESSAGE_MAX_BYTES
