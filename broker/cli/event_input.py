"""Event input: the values that a command line hands over as JSON, `@file` or `@-`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ...schemas.errors import UsageError

LINES = (".jsonl", ".ndjson")
"""Files with one value per line."""


def lines_file(text: str | None) -> Path | None:
    """The file of `@file.jsonl`; None if the text is no such thing."""
    return Path(text[1:]) if text is not None and text.startswith("@") and text.endswith(LINES) else None


def read_value(text: str | None, what: str = "the input") -> Any:
    """The value of an option: JSON, `@file`, or `@-` for standard input; `what` it is, for the message. Raises UsageError."""
    if text is None:
        return None
    if not text.startswith("@"):
        return parse_json(text, what)
    if text == "@-":
        return parse_json(sys.stdin.buffer.read(), "standard input")
    try:
        data = Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"{text[1:]} cannot be read: {error.strerror or error}") from None
    return parse_json(data, text[1:])


def parse_json(text: str | bytes, where: str) -> Any:
    """Raises UsageError with line and column if the text is no JSON (NaN and Infinity are not)."""
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if "\n" not in error.doc else f"line {error.lineno}, column {error.colno}"
        hint = "" if error.doc.lstrip()[:1] in ("{", "[", "") else "; a text needs its quotes: '\"text\"'"
        raise UsageError(f"{where} is no JSON: {error.msg} at {place}{hint}") from None
    except ValueError as error:
        raise UsageError(f"{where} is no JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
