"""What the server says no with: code, error code and description, word for word as nats-server 2.15 does."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """Raised inside the simulated server; the client gets `document`."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code, self.err_code, self.description = code, err_code, description

    @property
    def document(self) -> dict[str, Any]:
        return {"code": self.code, "err_code": self.err_code, "description": self.description}


def stream_not_found() -> Refusal:
    return Refusal(404, 10059, "stream not found")


def consumer_not_found() -> Refusal:
    return Refusal(404, 10014, "consumer not found")


def no_message() -> Refusal:
    return Refusal(404, 10037, "no message found")


def bad_request() -> Refusal:
    return Refusal(400, 10003, "bad request")


def wrong_last_sequence(last: int) -> Refusal:
    return Refusal(400, 10071, f"wrong last sequence: {last}")


def wrong_last_sequence_in_batch() -> Refusal:
    return Refusal(400, 10164, "wrong last sequence")


def no_room(what: str) -> Refusal:
    """`what`: messages, bytes, messages per subject."""
    return Refusal(503, 10077, f"maximum {what} exceeded")


def other_stream() -> Refusal:
    return Refusal(400, 10060, "expected stream does not match")


def invalid_json(why: str) -> Refusal:
    return Refusal(400, 10025, f"invalid JSON: {why}")


def too_large() -> Refusal:
    return Refusal(400, 10054, "message size exceeds maximum allowed")


def exists_otherwise() -> Refusal:
    return Refusal(400, 10058, "stream name already in use with a different configuration")


def invalid_stream(why: str) -> Refusal:
    return Refusal(500, 10052, why)


def invalid_consumer(why: str) -> Refusal:
    return Refusal(500, 10012, why)


def subjects_overlap() -> Refusal:
    return Refusal(400, 10065, "subjects overlap with an existing stream")


def no_storage() -> Refusal:
    return Refusal(500, 10047, "insufficient storage resources available")


def no_memory() -> Refusal:
    return Refusal(500, 10028, "insufficient memory resources available")


def delete_failed(why: str) -> Refusal:
    return Refusal(500, 10057, why)


def sequence_not_found(seq: int) -> Refusal:
    return Refusal(400, 10043, f"sequence {seq} not found")


def rollup_refused(why: str) -> Refusal:
    return Refusal(500, 10111, why)


def ttl_disabled() -> Refusal:
    return Refusal(400, 10166, "per-message TTL is disabled")


def ttl_invalid() -> Refusal:
    return Refusal(400, 10165, "invalid per-message TTL")


def schedules_disabled() -> Refusal:
    return Refusal(400, 10188, "message schedules is disabled")


def schedule_invalid() -> Refusal:
    return Refusal(400, 10189, "message schedules pattern is invalid")


def target_invalid() -> Refusal:
    return Refusal(400, 10190, "message schedules target is invalid")


def schedule_rollup_invalid() -> Refusal:
    return Refusal(400, 10192, "message schedules invalid rollup")


def batches_disabled() -> Refusal:
    return Refusal(400, 10174, "atomic publish is disabled")


def batch_without_sequence() -> Refusal:
    return Refusal(400, 10175, "atomic publish sequence is missing")


def batch_incomplete() -> Refusal:
    return Refusal(400, 10176, "atomic publish batch is incomplete")


def batch_with_duplicate() -> Refusal:
    return Refusal(400, 10201, "atomic publish batch contains duplicate message id")


def too_many_batches() -> Refusal:
    return Refusal(429, 10210, "atomic publish too many inflight")


def batch_too_large(most: int) -> Refusal:
    return Refusal(400, 10199, f"atomic publish batch is too large: {most}")


def needs_explicit_ack() -> Refusal:
    return Refusal(400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream")


def unfiltered_not_unique() -> Refusal:
    return Refusal(400, 10099, "multiple non-filtered consumers not allowed on workqueue stream")


def filter_not_unique() -> Refusal:
    return Refusal(400, 10100, "filtered consumer not unique on workqueue stream")


def not_deliver_all() -> Refusal:
    return Refusal(400, 10101, "consumer must be deliver all on workqueue stream")


def filters_overlap() -> Refusal:
    return Refusal(400, 10138, "consumer subject filters cannot overlap")
