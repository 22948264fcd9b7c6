"""Search: a filter as a person writes it, compiled to SQL.

    flow = orders and status = failed and started > -1h
    duration > 5s or (error ~ timeout and not id ~ test)

    filter      = all ("or" all)…                comparison  = field operator value
    all         = one ("and" one)…               operator    = "=" "!=" "<" "<=" ">" ">=" "~" "!~"
    one         = "not" one | "(" filter ")" | comparison
    value       = a word, or "anything in quotes" (`\"` and `\\` inside)

`~` finds a text anywhere in the field, upper and lower case alike; `= order*` what begins so. The fields stand in fields.py.

Guarantees: the SQL is put together from this file's own words; what the person wrote travels as parameters. Anything that is no filter
is an InvalidSearch that points at the column. Depth and length are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from .errors import NOWHERE, InvalidSearch
from .fields import ENDED, FIELDS, OPEN, Field

LENGTH_MAX = 4_096
DEPTH_MAX = 20
"""SQLite's own parser goes 100 symbols deep, and a level takes up to four."""
COMPARISONS_MAX = 100
OPERATORS = ("!=", "!~", "<=", ">=", "=", "~", "<", ">")
_LAST = "\U0010ffff"
"""The last of all characters: after every text that begins like the one before it."""
_SQL = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<operator>!=|!~|<=|>=|[=~<>])|(?P<bracket>[()])|(?P<word>[^\s()"=~<>!]+))', re.S
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands behind WHERE, and its parameters."""

    sql: str
    parameters: tuple[str | int, ...] = ()


EVERYTHING = Condition("1")


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: word, quoted, operator, bracket or end. `column` counts from 1."""

    kind: str
    text: str
    column: int


def compile_filter(text: str, now_ms: int) -> Condition:
    """The condition that a filter means at the time `now_ms`; an empty one lets everything through. Raises InvalidSearch."""
    if len(text) > LENGTH_MAX:
        raise InvalidSearch(f"the filter has {len(text)} characters, more than {LENGTH_MAX}", LENGTH_MAX + 1)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidSearch("the filter holds a character that no field can hold", 1)
    if not text.strip():
        return EVERYTHING
    return _Parser(text, now_ms).parse()


def all_of(conditions: Iterable[Condition]) -> Condition:
    """All of them at once."""
    kept = [condition for condition in conditions if condition is not EVERYTHING]
    if not kept:
        return EVERYTHING
    return Condition(" AND ".join(f"({one.sql})" for one in kept), tuple(value for one in kept for value in one.parameters))


def equals(field: str, value: str, now_ms: int) -> Condition:
    """The condition `field = value`, for callers that have the two apart. Raises InvalidSearch, which points at no column."""
    return _compare(FIELDS[field], "=", Token("quoted", value, NOWHERE), now_ms)


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str, now_ms: int) -> None:
        self._tokens = list(_tokens(text))
        self._now_ms = now_ms
        self._at = 0
        self._depth = 0
        self._comparisons = 0

    def parse(self) -> Condition:
        condition = self._any()
        if self._next.kind != "end":
            self._refuse(f"{self._next.text!r} cannot stand here; join conditions with `and` or `or`")
        return condition

    def _any(self) -> Condition:
        return self._joined("or", " OR ", self._all)

    def _all(self) -> Condition:
        return self._joined("and", " AND ", self._one)

    def _joined(self, word: str, sql: str, part: Callable[[], Condition]) -> Condition:
        conditions = [part()]
        while self._is_word(word):
            self._take()
            conditions.append(part())
        if len(conditions) == 1:
            return conditions[0]
        return Condition(sql.join(f"({one.sql})" for one in conditions), tuple(value for one in conditions for value in one.parameters))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._refuse(f"the filter is nested more than {DEPTH_MAX} deep")
        condition = self._negated_or_plain()
        self._depth -= 1
        return condition

    def _negated_or_plain(self) -> Condition:
        if self._is_word("not"):
            self._take()
            inner = self._one()
            # What a run does not have is NULL, and NULL is neither true nor false: `not` means "is not true".
            return Condition(f"({inner.sql}) IS NOT TRUE", inner.parameters)
        if self._next.text == "(" and self._next.kind == "bracket":
            opening = self._take()
            inner = self._any()
            if self._next.kind != "bracket" or self._next.text != ")":
                self._refuse(f"the bracket of column {opening.column} is not closed")
            self._take()
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        name = self._take()
        if name.kind != "word":
            missing = "a field is missing" if name.kind == "end" else f"{name.text!r} is no field"
            self._refuse(f"{missing}; there are: {', '.join(FIELDS)}", name)
        field = FIELDS.get(name.text)
        if field is None:
            self._refuse(f"there is no field {name.text!r}; there are: {', '.join(FIELDS)}", name)
        operator = self._take()
        if operator.kind != "operator":
            self._refuse(f"an operator is missing after {name.text!r}: one of {' '.join(OPERATORS)}", operator)
        value = self._value()
        if value.kind not in ("word", "quoted"):
            self._refuse(f"a value is missing after {operator.text!r}", value)
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            self._refuse(f"the filter has more than {COMPARISONS_MAX} comparisons", name)
        return _compare(field, operator.text, value, self._now_ms)

    def _value(self) -> Token:
        """A word goes on behind a `~` that stands right behind it, where no operator could: ids of forks hold one."""
        value = self._take()
        end = value.column + len(value.text)
        while value.kind == "word" and self._next.text == "~" and self._next.column == end:
            self._take()
            joined, end = "~", end + 1
            if self._next.kind == "word" and self._next.column == end:
                end += len(self._next.text)
                joined += self._take().text
            value = Token("word", value.text + joined, value.column)
        return value

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() == word

    def _refuse(self, reason: str, token: Token | None = None) -> NoReturn:
        raise InvalidSearch(reason, (token or self._next).column)


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:]
            start = at + len(rest) - len(rest.lstrip())
            if start == len(text):
                break
            raise InvalidSearch("the quote is not closed" if text[start] == '"' else f"{text[start]!r} cannot stand here", start + 1)
        kind = found.lastgroup or ""
        word = found[kind]
        yield Token(kind, re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.S) if kind == "quoted" else word, found.start(kind) + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)


def _compare(field: Field, operator: str, value: Token, now_ms: int) -> Condition:
    if operator in ("~", "!~"):
        return _contains(field, operator, value)
    try:
        parameter = field.read(value.text, now_ms)
    except ValueError as error:
        raise InvalidSearch(str(error), value.column) from None
    if field is FIELDS["status"]:
        return _status(operator, str(parameter), value)
    if field.text and operator not in ("=", "!="):
        raise InvalidSearch(f"a text cannot be compared by {operator!r}; there are = != ~ !~", value.column)
    if field.text and value.kind == "word" and value.text.endswith("*"):
        return _begins(field, operator, value.text[:-1])
    if operator == "!=":
        sql = " AND ".join(f"coalesce({column}, '') <> ?" for column in field.columns)
    else:
        sql = " OR ".join(f"{column} {_SQL[operator]} ?" for column in field.columns)
    return Condition(sql, (parameter,) * len(field.columns))


def _contains(field: Field, operator: str, value: Token) -> Condition:
    if not field.text:
        raise InvalidSearch("only texts can be searched with ~; compare this field with = != < <= > >=", value.column)
    pattern = "%" + re.sub(r"([%_\\])", r"\\\1", value.text) + "%"
    sql = " OR ".join(f"coalesce({column}, '') LIKE ? ESCAPE '\\'" for column in field.columns)
    return Condition(f"NOT ({sql})" if operator == "!~" else sql, (pattern,) * len(field.columns))


def _begins(field: Field, operator: str, text: str) -> Condition:
    """As a range, which an index can find."""
    sql = " OR ".join(f"({column} >= ? AND {column} < ?)" for column in field.columns)
    return Condition(f"({sql}) IS NOT TRUE" if operator == "!=" else sql, (text, text + _LAST) * len(field.columns))


def _status(operator: str, status: str, value: Token) -> Condition:
    if operator not in ("=", "!="):
        raise InvalidSearch(f"a status cannot be compared by {operator!r}; there are = and !=", value.column)
    one_of = {"open": OPEN, "ended": ENDED}.get(status, (status,))
    return Condition(f"status {'NOT ' if operator == '!=' else ''}IN ({', '.join('?' * len(one_of))})", one_of)
