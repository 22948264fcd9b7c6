"""Configurations of streams and consumers: what the server fills in, and what it refuses.

Only what jetfleet asks for is checked; other settings are kept as they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import refusals
from .subjects import overlap

if TYPE_CHECKING:
    from .consumers import Consumer
    from .streams import Stream

_STREAM: dict[str, Any] = {
    "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
    "max_msg_size": -1, "discard": "old", "discard_new_per_subject": False, "storage": "file", "num_replicas": 1,
    "duplicate_window": 120 * 10**9, "compression": "none", "allow_direct": False, "mirror_direct": False, "sealed": False,
    "deny_delete": False, "deny_purge": False, "allow_rollup_hdrs": False, "consumer_limits": {}, "allow_msg_ttl": False,
    "allow_msg_schedules": False, "allow_atomic": False,
}  # fmt: skip
_UNLIMITED = ("max_consumers", "max_msgs", "max_bytes", "max_msgs_per_subject", "max_msg_size")
_CONSUMER: dict[str, Any] = {
    "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": 30 * 10**9, "max_deliver": -1, "replay_policy": "instant",
    "max_waiting": 512, "max_ack_pending": 1_000, "num_replicas": 0,
}  # fmt: skip
_FIXED = {
    "deliver_policy": "deliver policy", "mem_storage": "storage type", "opt_start_seq": "start sequence", "ack_policy": "ack policy",
    "replay_policy": "replay policy", "max_waiting": "max waiting",
}  # fmt: skip
_STREAM_FIELDS = {*_STREAM, "name", "description", "subjects", "first_seq", "metadata", "subject_delete_marker_ttl", "placement"}
_SHOWN_WHEN_SET = ("discard_new_per_subject", "allow_msg_schedules", "allow_atomic")
"""The server leaves these out where they are false."""


def stream_config(asked: Mapping[str, Any]) -> dict[str, Any]:
    """With everything that was left out. Raises Refusal."""
    unknown = sorted(set(asked) - _STREAM_FIELDS)
    if unknown:
        raise refusals.invalid_json(f'json: unknown field "{unknown[0]}"')
    config = {**_STREAM, **asked}
    config["subjects"] = list(config.get("subjects") or [config["name"]])
    for name in _UNLIMITED:
        config[name] = int(config[name]) or -1
    config["allow_rollup_hdrs"] = bool(config["allow_rollup_hdrs"] or config["allow_msg_schedules"])
    if config["discard"] == "new" and config["allow_msg_schedules"] and config["max_bytes"] > 0:
        raise refusals.invalid_stream("message schedules can not be used with discard new")
    if config["discard_new_per_subject"] and (config["discard"] != "new" or config["max_msgs_per_subject"] <= 0):
        raise refusals.invalid_stream("discard new per subject requires discard new policy to be set")
    return config


def shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """As the server shows a stream's."""
    return {name: value for name, value in config.items() if value or name not in _SHOWN_WHEN_SET}


def check_place(config: Mapping[str, Any], others: Iterable[Stream]) -> None:
    """Raises Refusal if another stream takes some of the subjects."""
    for other in others:
        if other.name != config["name"] and any(overlap(one, two) for one in config["subjects"] for two in other.config["subjects"]):
            raise refusals.subjects_overlap()


def check_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    if before["storage"] != after["storage"]:
        raise refusals.invalid_stream("stream configuration update can not change storage type")
    if before["retention"] != after["retention"] and "workqueue" in (before["retention"], after["retention"]):
        raise refusals.invalid_stream("stream configuration update can not change retention policy to/from workqueue")


def consumer_config(asked: Mapping[str, Any], stream: Stream) -> dict[str, Any]:
    """With everything that was left out. Raises Refusal."""
    config = {**_CONSUMER, **{name: value for name, value in asked.items() if value not in (None, [], "")}}
    if config["ack_policy"] == "none":
        config = {name: value for name, value in config.items() if name in asked or name not in ("ack_wait", "max_ack_pending")}
    filters = list(config.get("filter_subjects") or ())
    if any(overlap(one, other) for place, one in enumerate(filters) for other in filters[:place]):
        raise refusals.filters_overlap()
    if stream.is_workqueue and config["ack_policy"] != "explicit":
        raise refusals.needs_explicit_ack()
    return config


def check_company(config: Mapping[str, Any], stream: Stream) -> None:
    """Consumers of a work queue share no message. Raises Refusal."""
    if not stream.is_workqueue:
        return
    if config["deliver_policy"] != "all":
        raise refusals.not_deliver_all()
    filters = filters_of(config)
    others = [consumer for consumer in stream.consumers.values() if consumer.name != config["name"]]
    if others and not filters:
        raise refusals.unfiltered_not_unique()
    if any(overlap(one, other) for consumer in others for other in consumer.filters or [">"] for one in filters):
        raise refusals.filter_not_unique()


def check_consumer_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name, words in _FIXED.items():
        if before.get(name) != after.get(name):
            raise refusals.invalid_consumer(f"{words} can not be updated")


def filters_of(config: Mapping[str, Any]) -> list[str]:
    return list(config.get("filter_subjects") or filter(None, [config.get("filter_subject")]))


def consumers_of(stream: Stream) -> list[Consumer]:
    return sorted(stream.consumers.values(), key=lambda consumer: consumer.name)
