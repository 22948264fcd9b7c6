"""What the tests of definitions share: a flow that is right, and reading one from text."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from jetfleet.schemas.flow.problems import Problem
from jetfleet.schemas.source.loader import Loaded, parse_flow

Parse = Callable[..., Loaded]

ORDERS = """\
    name: order_processing
    version: "1.2"
    config: {limit: 10000}
    inputs: {type: object, required: [order_id, amount]}
    outputs: {order: "${validate.order_id}", by: "${approve.decision}"}
    settings: {max_concurrent_executions: 500, on_failure: fail_fast, circuit_breaker_threshold: 0.2}
    history: {keep: 30d}
    triggers:
      - {id: api, type: webhook, params: {port: 8080, path: /orders}}
    nodes:
      validate:
        type: std::map
        config: {mappings: [{from: order_id, to: order_id}, {from: amount, to: amount}], passthrough: true}
      big: {type: std::switch, config: {condition: {type: greater_than, field: amount, value: "${pipeline.config.limit}"}}}
      approve:
        type: std::wait
        config: {hook_id: "order-${validate.order_id}", timeout_secs: 3600, timeout_action: reject, metadata_fields: [order_id, amount]}
      charge:
        type: shop.charge
        queue: payments
        retry: {max_attempts: 5, initial_delay_ms: 200, backoff_multiplier: 2, max_delay_ms: 10000, non_retryable: [card_declined]}
        timeout_ms: 30000
        concurrency: {key: "${trigger.payload.customer}", max: 1}
        compensate: refund
      refund: {type: shop.refund}
      apology: {type: std::log, config: {message: "order ${validate.order_id}: ${payment.error.message}"}}
      done: {type: std::merge, config: {strategy: any}}
    scopes:
      payment: {nodes: [charge], on_error: apology, timeout_ms: 60000}
    edges:
      - {from: api, to: validate}
      - {from: validate, to: big}
      - {from: big.true, to: approve}
      - {from: big.false, to: charge}
      - {from: approve, to: charge}
      - {from: charge, to: done}
      - {from: apology, to: done}
    """


@pytest.fixture
def orders() -> str:
    """A flow that uses most of the language."""
    return dedent(ORDERS)


@pytest.fixture
def parse() -> Parse:
    """Reads an indented text as the file `f.yaml`."""
    return lambda text, **options: parse_flow(dedent(text).encode(), "f.yaml", **options)


def shown(problem: Problem) -> tuple[str, int, int]:
    """What a test usually asks of a problem: code, line, column."""
    return problem.code, problem.line, problem.column
