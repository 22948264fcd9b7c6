"""Nodes that let a secret slip in every way that they can think of, but for returning it."""

from __future__ import annotations

import base64
import json
import logging
import sys
import urllib.parse
import warnings
from typing import Any

from jetfleet.workers import Context, NodeError, node


def slips(context: Context) -> str:
    """Says the secrets wherever something is written; a text that holds them all."""
    values = [context.secrets[name] for name in ("canary_plain", "canary_odd", "canary_file")]
    for value in values:
        print("printed", value)
        print("to error", value, file=sys.stderr)
        context.log.warning(f"logged {value}", field=value, nested={"in": [value, base64.b64encode(value.encode()).decode()]})
        logging.getLogger("somebodys_code").warning("told by a library: %s", value)
        warnings.warn(f"warned of {value}", stacklevel=1)
    encoded = [form(value) for value in values for form in (repr, json.dumps, urllib.parse.quote_plus, as_base64)]
    return " ".join([*values, *encoded])


def as_base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@node("canary.loop")
async def in_the_loop(value: Any, context: Context) -> Any:
    raise ValueError(slips(context))


@node("canary.inline", mode="inline")
def inline(value: Any, context: Context) -> Any:
    raise NodeError("told", type="canary", retryable=False, details={"seen": slips(context), "list": [slips(context)]})


@node("canary.thread", mode="thread")
def in_a_thread(value: Any, context: Context) -> Any:
    try:
        raise KeyError(slips(context))
    except KeyError as error:
        raise RuntimeError(f"because of {error}") from error


@node("canary.process", mode="process")
def in_a_process(value: Any, context: Context) -> Any:
    raise ValueError(slips(context))


@node("canary.cut")
async def cut(value: Any, context: Context) -> Any:
    """The message is longer than an error's may be, and is cut in the middle of the secret."""
    raise ValueError("x" * (500 - 12) + context.secrets["canary_plain"])


@node("canary.http")
async def over_http(value: dict[str, Any], context: Context) -> Any:
    """An answer that repeats what it was sent, and one that never comes."""
    secret = context.secrets["canary_odd"]
    answer = await context.http.request("GET", value["url"], headers={"Authorization": f"Bearer {context.secrets['canary_plain']}"})
    try:
        await context.http.request("GET", "http://127.0.0.1:1/", query=[("key", secret)])
    except NodeError as error:
        raise NodeError(f"{error}: {answer.text()} {urllib.parse.quote(secret, safe='')}", type="canary", retryable=False) from None
