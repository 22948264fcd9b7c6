"""The grammar of a condition that is written as one text: `reference [operator literal]`.

    reference   ${path} · $.path · path            a path in the value at hand; `${iteration}` is a loop's counter
    operator    >= <= == != > < =                  == and = are the same
    literal     12 · text · "text" · 'text' · ${path} · ${pipeline.config.name}

A reference alone asks whether its value is true. There is no and/or/not, no arithmetic, no functions: a text that looks as
if it meant one is refused, because comparing with it as a plain text is never what its author wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ConditionError, SelectorError
from .selectors import Path, Selector, parse_path, parse_selector
from .values import to_number

_REFERENCE = re.compile(r"\s*(?:\$\{([^}]*)\}|(\$[A-Za-z0-9_.\[\]-]*|[A-Za-z0-9_.\[\]-]+))\s*", re.ASCII)
_SIGNS = re.compile(r"[<>=!~&|^]+")
_SENTENCE = re.compile(r"[<>=!&|]|\s(?:and|or)\s", re.IGNORECASE)
_HOW_TO_WRITE = 'write one comparison, such as `amount > 100` or `${status} == "open"`; several of them need a switch each'

OPERATORS = {
    ">=": "greater_or_equal",
    "<=": "less_or_equal",
    "==": "equals",
    "!=": "not_equals",
    ">": "greater_than",
    "<": "less_than",
    "=": "equals",
}
ORDERINGS = frozenset({"greater_or_equal", "less_or_equal", "greater_than", "less_than"})
TRUTH = "is_true"
"""The operator of a reference that stands alone."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A path in the value at hand. `counter`: in a loop it is the iteration instead. `braced`: it is written `${path}`."""

    path: Path
    counter: bool = False
    braced: bool = False


@dataclass(frozen=True, slots=True)
class Expression:
    """`right` is a literal (str), a path in the value at hand, or a selector into the flow's config; None without operator."""

    left: Reference
    operator: str
    right: str | Reference | Selector | None = None


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises ConditionError with what is wrong with it and how it is written."""
    found = _REFERENCE.match(text)
    if found is None:
        raise ConditionError(f"`{text}` does not begin with a field" if text.strip() else "the expression is empty", _HOW_TO_WRITE)
    left = parse_reference(found[0])
    rest = text[found.end() :]
    if not rest:
        return Expression(left, TRUTH)
    signs = _SIGNS.match(rest)
    if signs is None:
        raise ConditionError(f"`{text}`: an operator was expected before `{rest.strip()}`", _HOW_TO_WRITE)
    operator = OPERATORS.get(signs[0])
    if operator is None:
        raise ConditionError(f"`{text}`: unknown operator `{signs[0]}`", f"known: {' '.join(OPERATORS)}")
    return Expression(left, operator, _right(rest[signs.end() :].strip(), operator, text))


def parse_reference(text: str) -> Reference:
    """The path that `${path}`, `$.path` or `path` means. Raises ConditionError."""
    inner = text.strip()
    try:
        if inner.startswith("${"):
            inner = inner[2:].removesuffix("}").strip()
            if not inner:
                raise ConditionError("the reference `${}` is empty", _HOW_TO_WRITE)
            return Reference(parse_path(inner), counter=inner == "iteration", braced=True)
        return Reference(parse_path(inner))
    except SelectorError as error:
        raise ConditionError(str(error), error.hint) from None


def _right(text: str, operator: str, whole: str) -> str | Reference | Selector:
    if text.startswith("${") and text.endswith("}"):
        return _right_reference(text)
    literal = _unquoted(text, whole)
    if operator in ORDERINGS and to_number(literal) is None:
        raise ConditionError(f"`{whole}` compares with `{text}`, which is no number", "only numbers have an order; for texts: == and !=")
    return literal


def _right_reference(text: str) -> Reference | Selector:
    reference = parse_reference(text)
    if reference.path[:2] == ("pipeline", "config"):
        return parse_selector(text[2:-1])
    return Reference(reference.path, braced=True)


def _unquoted(text: str, whole: str) -> str:
    if text[:1] in ('"', "'"):
        inner = text[1:-1]
        if len(text) < 2 or text[-1] != text[0] or text[0] in inner:
            raise ConditionError(f"`{whole}`: after {text[0]} exactly one text was expected, up to the next {text[0]}", _HOW_TO_WRITE)
        return inner
    if not text:
        raise ConditionError(f"`{whole}` ends after its operator", 'name what to compare with; an empty text is `""`')
    if _SENTENCE.search(text):
        raise ConditionError(f"`{whole}`: `{text}` is more than one literal", _HOW_TO_WRITE + "; put a text with such signs in quotes")
    return text
