"""A definition as text: its values as plain data, and the line and column of each.

YAML 1.2 with the core schema; JSON is a subset of it and is read the same way. `read` ends fast on any text: its size is
checked before parsing, the rest (nesting, aliases, number of values) while the parser's events arrive.

Does not know what a flow is: any mapping is a document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import InvalidFlow
from ..flow.problems import Path, Problem
from .tree import Item, Position, ReadLimits, TreeBuilder

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_BARE_SELECTOR = re.compile(r"""(?:[:,] +|\[ *)((?:[^\s"',{}\[\]][^"',{}\[\]]*)?\$\{[^}]*\}[^"',{}\[\]]*?) *(?=[,}\]]|$)""")
_BARE_COLON = re.compile(r"""[{,]\s*[\w-]+: +([^"'{\[\s,][^"',{}\[\]]*: [^"',{}\[\]]*?)\s*[,}]""")
_NO_SPACE = re.compile(r"\s*(?:- )?([\w-]+):([^\s:/].*)")
_WINDOW = 150
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read. `problems` are faults that left the tree whole; the document is invalid if there are any."""

    file: str
    root: Item
    problems: tuple[Problem, ...] = ()

    @property
    def value(self) -> Any:
        """The data, as plain dicts, lists and scalars. Aliased parts are shared: do not change them."""
        return self.root.value

    def locate(self, path: Path) -> Position:
        """Where the value at `path` begins; what is missing is found at its nearest existing parent."""
        item, key, rest = self._walk(path)
        return item.position if not rest or key is None else key

    def locate_key(self, path: Path) -> Position:
        """Where the key (or list item) at `path` begins; what is missing is found at its nearest existing parent's key."""
        item, key, _ = self._walk(path)
        return key or item.position

    def place(self, path: Path) -> Position:
        """Where to point for a problem at `path`: at a scalar itself; at the key of a container, or of the nearest parent."""
        item, key, rest = self._walk(path)
        return key if key is not None and (rest or item.children is not None) else item.position

    def _walk(self, path: Path) -> tuple[Item, Position | None, Path]:
        """The deepest item on the path, the position of its key (None: it has none), and the rest of the path."""
        item, key = self.root, None
        for depth, part in enumerate(path):
            children = item.children
            if isinstance(children, dict) and part in children:
                item, key = children[str(part)], item.keys[str(part)]
            elif isinstance(children, list) and isinstance(part, int) and 0 <= part < len(children):
                item, key = children[part], None
            else:
                return item, key, path[depth:]
        return item, key, ()

    def with_list(self, name: str, id_key: str) -> Document:
        """The same document with the mapping at the top key `name` as a list: each entry gets its key as `id_key`.

        Positions stay: entry n is found where the n-th entry of the mapping is written. An entry that is no mapping is
        kept as it is, for the models to refuse.
        """
        tops = self.root.children
        if not isinstance(tops, dict) or name not in tops or not isinstance(tops[name].children, dict):
            return self
        entries = tops[name]
        listed = Item([], entries.position, children=[])
        for key, child in dict(entries.children or {}).items():  # type: ignore[arg-type]
            listed.append(_with_key(child, id_key, key, entries.keys[key]))
        root = Item({}, self.root.position, children={})
        for key, child in tops.items():
            root.put(key, self.root.keys[key], listed if key == name else child)
        return Document(self.file, root, self.problems)


def _with_key(entry: Item, id_key: str, key: str, at: Position) -> Item:
    if entry.value is not None and not isinstance(entry.children, dict):
        return entry
    named = Item({}, at, children={})
    named.put(id_key, at, Item(key, at))
    for name, child in (entry.children or {}).items():  # type: ignore[union-attr]
        if name != id_key:
            named.put(name, entry.keys[name], child)
    return named


def read(data: bytes, file: str = "<flow>", limits: ReadLimits | None = None) -> Document:
    """The document in `data`. Raises InvalidFlow (codes EMPTY_FILE, NOT_TEXT, TABS, SYNTAX, …) if there is no tree to be had."""
    limits = limits or ReadLimits()
    if len(data) > limits.bytes:
        raise _invalid(
            file,
            1,
            1,
            "LIMIT_EXCEEDED",
            f"the file is larger than the {limits.bytes:,} bytes that are read at most",
            "move data out of the flow",
        )
    text = _text(data, file)
    builder = TreeBuilder(file, limits)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except yaml.YAMLError as error:
        raise InvalidFlow([*builder.problems, _syntax_problem(error, text, file)]) from None
    root = builder.root
    if root is None or root.value is None:
        raise _invalid(file, 1, 1, "EMPTY_FILE", "the file holds no flow", "begin with `name: my_flow`")
    if not isinstance(root.children, dict):
        raise _invalid(file, *root.position, "INVALID_TYPE", "the file does not hold a mapping of keys", "begin with `name: my_flow`")
    return Document(file, root, tuple(builder.problems))


def _text(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8", "replace"))
        raise _invalid(file, line, column, "NOT_TEXT", "the file is not UTF-8 text", "save it as UTF-8; is it the right file?") from None
    if found := _UNPRINTABLE.search(text):
        line, column = _position(text[: found.start()])
        what = f"the file holds the control character U+{ord(found[0]):04X}, so it is not text"
        raise _invalid(file, line, column, "NOT_TEXT", what, "remove it, or write it as an escape in double quotes; is it the right file?")
    return text


def _position(before: str) -> Position:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The parser's error in our words. It points at the opening bracket or quote if the parser ran to the end of the file."""
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or "this is not YAML")
    if mark is None:
        return Problem("SYNTAX", what).at(file, 1, 1)
    lines = text.split("\n", mark.line + 1)
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        column = line.index("\t") + 1
        return Problem("TABS", "the line is indented with a tab", hint="YAML allows only spaces there: use two per level").at(
            file, mark.line + 1, column
        )
    opened = getattr(error, "context_mark", None)
    if opened is not None and mark.index >= len(text.rstrip()):
        return Problem("SYNTAX", "what is opened here is never closed", hint="close the bracket or quote").at(
            file, opened.line + 1, opened.column + 1
        )
    return Problem("SYNTAX", _plain(what), hint=_slip(what, lines, mark) or _hint(what)).at(file, mark.line + 1, mark.column + 1)


def _plain(problem: str) -> str:
    return problem.replace("did not find expected", "expected").replace(
        "mapping values are not allowed in this context", "`: ` is not allowed here"
    )


def _slip(problem: str, lines: list[str], mark: Any) -> str:
    """The hint for a slip that the text around the mark shows; no hint if it shows none."""
    if not ("',' or" in problem or "mapping values" in problem) or mark.line >= len(lines):
        return ""
    # A window: the expressions below take their time on a line of megabytes.
    near = lines[mark.line][max(0, mark.column - _WINDOW) : mark.column + _WINDOW]
    if selector := _BARE_SELECTOR.search(near):
        return f'put quotes around a text with a selector: `"{selector[1]}"`'
    if "',' or" in problem and (text := _BARE_COLON.search(near)):
        before, _, key = text[1].partition(": ")[0].rpartition(" ")
        quotes = f'put quotes around a text that holds `: `: `"{text[1]}"`'
        return f"put a comma before `{key}:` if it is a key, else {quotes}" if before else quotes
    if mark.line and (joined := _NO_SPACE.fullmatch(lines[mark.line - 1][:_WINDOW])):
        return f"write a space after the colon in the line before: `{joined[1]}: {joined[2]}`"
    return ""


def _hint(problem: str) -> str:
    """What usually is the matter, by the parser's message."""
    for words, hint in (
        ("mapping values", "put the text in quotes if it holds `: `, or check the indentation of the line before"),
        ("cannot start any token", "put quotes around a text that begins with a special character"),
        ("',' or", "separate the elements by commas and close the bracket"),
        ("block end", "check the indentation: keys of one mapping start in the same column"),
        ("document start", "check the indentation: keys of one mapping start in the same column"),
        ("expected ':'", "a key is followed by `: ` and its value"),
        ("escape", "in double quotes a backslash starts an escape: use single quotes, or the character itself"),
    ):
        if words in problem:
            return hint
    return "check indentation, quotes and brackets here and in the line before"


def _invalid(file: str, line: int, column: int, code: str, message: str, hint: str) -> InvalidFlow:
    return InvalidFlow([Problem(code, message, hint=hint).at(file, line, column)])
