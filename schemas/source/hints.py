"""What to write instead: the hint of a problem, from what was found and what is meant at its place.

A hint is only given where it is likely to be right; no hint is better than a wrong one.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

from ..flow.problems import Path

_NEAR_KEY, _NEAR_WORD = 0.6, 0.75
"""How alike two words must be, from 0 to 1. Keys are misspelt more freely than the few words that a key may have as value."""

_IN_SHORT = {"retry": "max_attempts", "concurrency": "max"}
"""The key of a block that a bare number in the block's place means."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,9})\s*(ms|s|m|h|d)")
_ARROW = re.compile(r"\s*([\w.-]+)\s*-+>\s*([\w.-]+)\s*")


def near_key(word: str, known: Iterable[str]) -> str:
    """For an unknown key: the nearest of the known keys, or all of them."""
    head, colon, rest = word.partition(":")
    options = list(known)
    if colon and rest and head in options:
        return space_after_colon(head, rest)
    return _did_you_mean(word, options, _NEAR_KEY)


def near_word(word: str, known: Iterable[str]) -> str:
    """For a value that is not one of its choices: the nearest of them, or all."""
    return _did_you_mean(word, list(known), _NEAR_WORD)


def space_after_colon(key: str, value: str) -> str:
    return f"write a space after the colon: `{key}: {value.strip()}`"


def _did_you_mean(word: str, options: list[str], cutoff: float) -> str:
    near = difflib.get_close_matches(word, options, n=1, cutoff=cutoff)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known here: {', '.join(options)}" if options else ""


def for_type(words: str, path: Path, value: Any) -> str:
    """For a value of the wrong type at `path`, where `words` say what is expected."""
    key = path[-1] if path else ""
    if value is None:
        return "give it a value, or remove the key"
    if words == "text":
        return _for_text(key, value)
    if words in ("a whole number", "a number"):
        return _for_number(key, value)
    if words == "a mapping":
        return _for_mapping(path, value)
    if path == ("edges",):
        return "write a list, one edge each: `- {from: a, to: b}`"
    return "write `true` or `false`" if words == "true or false" and isinstance(value, str) else ""


def _for_text(key: str | int, value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return f'quote it: `{key}: "{json.dumps(value)}"`'
    if key in ("from", "to") and isinstance(value, list):
        return f"write one edge for each: an edge leads {key} one place"
    return ""


def _for_number(key: str | int, value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if value.strip("-+").replace(".", "", 1).isdigit():
        return "write the number without quotes"
    duration = _DURATION.fullmatch(value.strip())
    if duration is None:
        return ""
    milliseconds = int(duration[1]) * _UNITS_MS[duration[2]]
    if str(key).endswith("_ms"):
        return f"write it in milliseconds, as a number: `{key}: {milliseconds}`"
    if str(key).endswith("_secs"):
        return f"write it in seconds, as a number: `{key}: {max(1, milliseconds // 1_000)}`"
    return ""


def _for_mapping(path: Path, value: Any) -> str:
    key, block = path[-1] if path else "", path[0] if len(path) == 2 else ""
    if key in _IN_SHORT and isinstance(value, int) and not isinstance(value, bool):
        return f"write `{key}: {{{_IN_SHORT[str(key)]}: {value}}}`"
    if not isinstance(value, str):
        return ""
    if block == "edges":
        ends = _ARROW.fullmatch(value)
        return f"write `{{from: {ends[1]}, to: {ends[2]}}}`" if ends else "write `{from: a, to: b}`"
    if block in ("nodes", "triggers"):
        head, colon, rest = value.partition(":")
        if colon and head == "type" and rest:
            return space_after_colon(head, rest)
        example = "std::log" if block == "nodes" else "manual"
        return f"write `{{type: {value if re.fullmatch(r'[a-z_]+(::|[.])[a-z_.]+', value) else example}}}`"
    return ""
