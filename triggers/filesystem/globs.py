"""Globs: patterns of names and of paths as the shell has them, several of them as one regular expression.

    *  what has no slash     **/  folders, or none     [ab] [!ab] [a-z]  one of these, or none of them
    ?  one character         /**  all that is below    {a,b}  either

Everything else stands for itself, as does a bracket or a brace without the other one. Case counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_TOKEN = re.compile(
    r"(?P<folders>(?<![^/{,])\*\*/)|(?P<all>(?<![^/{,])\*\*(?![^,}]))|(?P<some>\*+)|(?P<one>\?)"
    r"|(?P<set>\[!?\]?[^\]/]*\])|(?P<brace>[{,}])|(?P<plain>.)",
    re.DOTALL,
)
_REGEX = {"folders": "(?:[^/]+/)*", "all": ".+", "some": "[^/]*", "one": "[^/]"}
_BRACES = {"{": "(?:", ",": "|", "}": ")"}


class Globs:
    """One without a `/` is compared with a name, one with it with a whole path."""

    def __init__(self, globs: Iterable[str]) -> None:
        globs = list(globs)
        self._names = _compiled([glob for glob in globs if "/" not in glob])
        self._paths = _compiled([_below(glob) for glob in globs if "/" in glob])

    def fit(self, name: str, below: str) -> bool:
        return (self._names is not None and self._names.fullmatch(name) is not None) or (
            self._paths is not None and self._paths.fullmatch(below) is not None
        )


def _below(glob: str) -> str:
    """As a path below the watched folder. `x/` is the folder x with all that is in it."""
    glob = glob.removeprefix("./").lstrip("/")
    return f"{glob}**" if glob.endswith("/") else glob


def _compiled(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(_regex, globs)), re.DOTALL) if globs else None


def _regex(glob: str) -> str:
    tokens = [(str(each.lastgroup), each[0]) for each in _TOKEN.finditer(glob)]
    braces = _are_balanced(tokens)
    depth, found = 0, ""
    for kind, text in tokens:
        if kind == "brace" and braces:
            depth += (text == "{") - (text == "}")
            found += _BRACES[text] if text != "," or depth else text
        elif kind == "set":
            found += _set(text)
        else:
            found += _REGEX.get(kind) or re.escape(text)
    return found


def _are_balanced(tokens: Iterable[tuple[str, str]]) -> bool:
    depth = 0
    for kind, text in tokens:
        if kind == "brace":
            depth += (text == "{") - (text == "}")
        if depth < 0:
            return False
    return depth == 0


def _set(text: str) -> str:
    body = text[1:-1]
    negated = body.startswith("!")
    among = re.sub(r"([\\\[^&~|])", r"\\\1", body[negated:])
    found = f"(?!/)[{'^' * negated}{among}]"
    try:
        re.compile(found)
    except re.error:  # nothing in it, or a range that goes backwards
        return re.escape(text)
    return found
