"""Selectors `${root.path}`, paths, and templates: nested values whose texts hold selectors.

A template is compiled once and rendered often. A text that is exactly one selector renders to the selected value
itself, with its type; a text with more around it renders to text. `$${` stands for a literal `${`. Keys of maps are
taken as they are.

What a root means (a node, the flow's config, …) is not known here: rendering asks the `lookup` that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from .errors import SelectorError
from .values import MISSING, Path, to_text

__all__ = ["Lookup", "Path", "Selector", "Template", "compile_template", "parse_path", "parse_selector", "path_text", "template_of"]

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_SELECTOR = re.compile(rf"({_NAME})((?:\.{_NAME}|\[[0-9]{{1,9}}\])*)", re.ASCII)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]{1,9})\]", re.ASCII)
_HOLE = re.compile(r"\$(?P<escape>\$\{)|\$\{(?P<inner>[^}]*)(?P<end>\}?)")
_HOW_TO_WRITE = "write `${node.field}` or `${node.items[0].name}`; `$${` stands for a literal `${`"


@dataclass(frozen=True, slots=True)
class Selector:
    """`${root.path}`. `text` is what stands between the braces, without blanks around it."""

    root: str
    path: Path
    text: str

    def __str__(self) -> str:
        return f"${{{self.text}}}"


Lookup: TypeAlias = Callable[[Selector], Any]
"""Gives the value of a selector; None or MISSING when there is none."""
Read: TypeAlias = Callable[[Any], Any]
"""Gives what a ref leads to, and any other value as it is."""


def parse_path(text: str) -> Path:
    """The path that a text spells: `a.b[0].c`, `[0][1]`, `$.a`, `$[0]`; empty and `$` are the value itself.

    Raises SelectorError for empty keys, unclosed or negative indices, wildcards, and for what is no text.
    """
    if not isinstance(text, str):
        raise SelectorError(f"a path must be a text, not {to_text(text) or 'null'}", "a selector in its place must yield a text")
    rest = text.strip()
    if rest.startswith("$"):
        rest = rest[1:]
        if rest and rest[0] not in ".[":
            raise _bad_path(text)
        rest = rest.removeprefix(".") or rest
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        found = _STEP.match(rest, position)
        dotted = rest[position] == "."
        if found is None or (found[1] is not None and dotted != bool(steps)):
            raise _bad_path(text)
        steps.append(found[1] if found[2] is None else int(found[2]))
        position = found.end()
    if "*" in steps:
        raise _bad_path(text)
    return tuple(steps)


def path_text(path: Path) -> str:
    """The text of a path, as `parse_path` reads it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".") or "$"


def _bad_path(text: str) -> SelectorError:
    return SelectorError(f"`{text}` is no path", "write keys with dots between them and indices in brackets: `order.items[0].price`")


def parse_selector(inner: str) -> Selector:
    """The selector whose braces hold `inner`. Raises SelectorError if that is empty or no chain of names and indices."""
    text = inner.strip()
    if not text:
        raise SelectorError("the selector `${}` is empty", _HOW_TO_WRITE)
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise SelectorError(f"`${{{text}}}` is no selector: it must be names joined by dots, and indices in brackets", _HOW_TO_WRITE)
    return Selector(found[1], parse_path(found[2].removeprefix(".")), text)


class _Part(Protocol):
    """A compiled piece of a template that depends on selectors."""

    def render(self, lookup: Lookup, read: Read) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any

    def render(self, lookup: Lookup, read: Read) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class _Exact:
    selector: Selector

    def render(self, lookup: Lookup, read: Read) -> Any:
        value = lookup(self.selector)
        return None if value is MISSING else value


@dataclass(frozen=True, slots=True)
class _Text:
    pieces: tuple[str | Selector, ...]

    def render(self, lookup: Lookup, read: Read) -> str:
        return "".join(piece if isinstance(piece, str) else to_text(read(lookup(piece))) or "" for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class _Map:
    items: tuple[tuple[Any, _Part], ...]

    def render(self, lookup: Lookup, read: Read) -> dict[Any, Any]:
        return {key: part.render(lookup, read) for key, part in self.items}


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[_Part, ...]

    def render(self, lookup: Lookup, read: Read) -> list[Any]:
        return [part.render(lookup, read) for part in self.items]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value. `selectors` are all that it reads, each once, in the order of their first appearance."""

    selectors: tuple[Selector, ...]
    _part: _Part

    @property
    def constant(self) -> bool:
        """Whether it renders to the same value whatever the lookup says."""
        return not self.selectors

    def render(self, lookup: Lookup, read: Read = lambda value: value) -> Any:
        """The value with its selectors resolved. A constant one is the same object each time: do not change it.

        `read` is asked for what is put into a text only. Raises ValueElsewhere if that is a ref all the same.
        """
        return self._part.render(lookup, read)


def template_of(constants: Mapping[str, Any], templates: Mapping[str, Template]) -> Template:
    """A template that renders to one map: the constants as they are, and each of the templates rendered."""
    selectors = dict.fromkeys(selector for template in templates.values() for selector in template.selectors)
    parts: list[tuple[Any, _Part]] = [(key, _Constant(value)) for key, value in constants.items()]
    return Template(tuple(selectors), _Map((*parts, *((key, template._part) for key, template in templates.items()))))


def compile_template(value: Any) -> Template:
    """Compile a nested value of maps, lists, texts and other scalars.

    Raises SelectorError for a text that holds a malformed selector; its `path` leads to that text.
    """
    selectors: dict[Selector, None] = {}
    try:
        part = _compile(value, (), selectors)
    except RecursionError:
        raise SelectorError("the value is nested without end", "a value must not contain itself") from None
    return Template(tuple(selectors), part)


def _compile(value: Any, path: Path, selectors: dict[Selector, None]) -> _Part:
    if isinstance(value, str):
        return _compile_text(value, path, selectors)
    if isinstance(value, dict):
        entries = tuple((key, _compile(item, (*path, key), selectors)) for key, item in value.items())
        constants = {key: part.value for key, part in entries if isinstance(part, _Constant)}
        if len(constants) == len(entries):
            return _Constant(_same_or(constants, value))
        return _Map(entries)
    if isinstance(value, (list, tuple)):
        parts = tuple(_compile(item, (*path, index), selectors) for index, item in enumerate(value))
        items = [part.value for part in parts if isinstance(part, _Constant)]
        if len(items) == len(parts):
            return _Constant(_same_or(items, value))
        return _List(parts)
    return _Constant(value)


def _same_or(rendered: Any, value: Any) -> Any:
    """The value itself where unescaping changed nothing: no second copy of large constants."""
    return value if rendered == value else rendered


def _compile_text(text: str, path: Path, selectors: dict[Selector, None]) -> _Part:
    if "${" not in text:
        return _Constant(text)
    try:
        pieces = tuple(_pieces(text))
    except SelectorError as error:
        raise SelectorError(str(error), error.hint, path) from None
    found = [piece for piece in pieces if isinstance(piece, Selector)]
    selectors.update(dict.fromkeys(found))
    if not found:
        return _Constant("".join(map(str, pieces)))
    return _Exact(found[0]) if len(pieces) == 1 else _Text(pieces)


def _pieces(text: str) -> Iterator[str | Selector]:
    position = 0
    for hole in _HOLE.finditer(text):
        if hole.start() > position:
            yield text[position : hole.start()]
        position = hole.end()
        if hole["escape"]:
            yield "${"
        elif not hole["end"]:
            raise SelectorError(f"the selector `{text[hole.start() : hole.start() + 40]}` is not closed", "add the missing `}`")
        else:
            yield parse_selector(hole["inner"])
    if position < len(text):
        yield text[position:]
