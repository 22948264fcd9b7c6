"""Conditions: a question about the value at hand that is answered with yes or no.

Used by switches, loops and edges. A condition is parsed once, with everything checked that can be checked (form,
operator, pattern, numbers), and tested often. All forms become one: a reference, an operator, and what to compare with.

    {type: always}                                          true whatever the value
    {type: equals | not_equals, field, value}               compared as text
    {type: greater_than | greater_or_equal | less_than | less_or_equal, field, value}      compared as numbers
    {type: matches, field, pattern}                         a regular expression (RE2) found anywhere in the text
    {type: expression, expression: "amount > 100"}          or the text alone

Guarantees: a test raises nothing but ValueElsewhere, when an operand is a ref (or holds one) and so cannot be compared here: whoever
can read refs asks again. A missing field, or an operand of the wrong kind, makes it false (and `!=` true); a null value
makes everything but `always` false. Does not decide what selectors mean: `test` asks the lookup it is given.
"""

from __future__ import annotations

import operator as order
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import re2

from .errors import ConditionError, SelectorError
from .expressions import ORDERINGS, TRUTH, Expression, Reference, parse_expression, parse_reference
from .selectors import Lookup, Selector, Template, compile_template, path_text
from .values import MISSING, Path, equal, get, to_bool, to_number, to_text

Comparison: TypeAlias = Callable[[Any, Any], bool]
Reach: TypeAlias = Callable[[Any, Path], Any]

_options = re2.Options()
_options.log_errors = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition. `selectors` are those to other nodes or the flow's config that a test looks up."""

    text: str
    selectors: tuple[Selector, ...]
    _left: Reference
    _compare: Comparison
    _right: Template | Reference
    _always: bool = False

    def test(self, value: Any, lookup: Lookup, iteration: int | None = None) -> bool:
        """Whether it holds for the value. With an `iteration`, `${iteration}` on the left is that number. Raises ValueElsewhere."""
        right = None if self._always or isinstance(self._right, Reference) else self._right.render(lookup)
        return self.compare(value, right, iteration)

    @property
    def right(self) -> Template:
        """What it compares with, where that does not stand in the value at hand; null where it does."""
        return _NOTHING if isinstance(self._right, Reference) else self._right

    def compare(self, value: Any, right: Any, iteration: int | None = None, reach: Reach = get) -> bool:
        """`test`, with the rendered `right`. `reach`: how a path is followed where values of other types stand. Raises ValueElsewhere."""
        if self._always:
            return True
        if self._left.counter and iteration is not None:
            left: Any = iteration
        elif value is None:
            return False
        else:
            left = reach(value, self._left.path)
        if isinstance(self._right, Reference):
            right = reach(value, self._right.path)
        return self._compare(left, right)

    @property
    def selector_like(self) -> tuple[Reference, ...]:
        """The paths in the value at hand that are written like selectors: `${path}`."""
        sides = (self._left, self._right)
        return tuple(side for side in sides if isinstance(side, Reference) and side.braced and not side.counter)

    def __str__(self) -> str:
        return self.text


def parse_condition(spec: Any) -> Condition:
    """A condition from any of its forms. Raises ConditionError if it has none of them or something in it is wrong."""
    if isinstance(spec, str):
        return _ALWAYS if spec.strip() == "always" else _from_expression(parse_expression(spec), spec.strip())
    if not isinstance(spec, Mapping):
        raise ConditionError(f"a condition is a text or a map, not {_kind(spec)}", _EXAMPLE)
    form, fields = _form_of(spec)
    if form == "always":
        _take(fields, form)
        return _ALWAYS
    if form == "expression":
        text = _take(fields, form, ("expression", "value"))
        if not isinstance(text, str):
            raise ConditionError(f"`expression` must be a text, not {_kind(text)}", _EXAMPLE)
        return _from_expression(parse_expression(text), text.strip())
    return _from_fields(form, fields)


def parse_field_equals(spec: Mapping[str, Any]) -> Condition:
    """A loop's `until_field_equals: {field, value}`. Raises ConditionError."""
    return _from_fields("equals", dict(spec))


def parse_path_test(spec: Any, wanted: bool) -> Condition:
    """A loop's `until_true` and `until_false`: a path, or {field: path}, whose value must be true (or false).

    Raises ConditionError. A missing field, or one that is neither true nor false, fails both.
    """
    text = spec.get("field") if isinstance(spec, Mapping) and spec.keys() == {"field"} else spec
    if not isinstance(text, str):
        raise ConditionError(f"a path is expected, or {{field: path}}, not {_kind(spec)}", "write `until_true: result.done`")
    left = parse_reference(text)
    return Condition(path_text(left.path) + ("" if wanted else " is false"), (), left, _is_true if wanted else _is_false, _NOTHING)


# --- the forms


_ALIASES = {
    "gt": "greater_than",
    "lt": "less_than",
    "gte": "greater_or_equal",
    "lte": "less_or_equal",
    "greater_than_or_equal": "greater_or_equal",
    "less_than_or_equal": "less_or_equal",
    "regex": "matches",
}
_SYMBOLS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "less_than": "<",
    "greater_or_equal": ">=",
    "less_or_equal": "<=",
    "matches": "matches",
}
FORMS = ("always", *_SYMBOLS, "expression")
_OPERAND_KEYS = {"matches": ("pattern", "value"), "equals": ("value",), "not_equals": ("value",)}
_EXAMPLE = "write `{type: greater_than, field: amount, value: 100}` or `amount > 100`"


def _form_of(spec: Mapping[Any, Any]) -> tuple[str, dict[str, Any]]:
    """The form's name and its fields. Accepts `{type: greater_than, …}`, `{greater_than: {…}}` and `{expression: …}`."""
    fields = {str(key): value for key, value in spec.items()}
    if "type" in fields:
        name = fields.pop("type")
    elif len(fields) == 1:
        name, inner = next(iter(fields.items()))
        fields = dict(inner) if isinstance(inner, Mapping) else fields
    else:
        raise ConditionError("the condition has no `type`", f"known: {', '.join(FORMS)}")
    form = _normal(name) if isinstance(name, str) else ""
    if form not in FORMS:
        raise ConditionError(f"unknown condition `{name}`", f"known: {', '.join(FORMS)}")
    return form, fields


def _normal(name: str) -> str:
    """`FieldGreaterThan`, `field_greater_than` and `gt` are all `greater_than`."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower().removeprefix("field_")
    return _ALIASES.get(snake, snake)


def _from_fields(form: str, fields: dict[str, Any]) -> Condition:
    field = fields.pop("field", None)
    if not isinstance(field, str):
        raise ConditionError(f"`{form}` needs a `field`: the path to what it looks at", _EXAMPLE)
    left = parse_reference(field)
    operand = _take(fields, form, _OPERAND_KEYS.get(form, ("value", "threshold")))
    try:
        right = compile_template(operand)
    except SelectorError as error:
        raise ConditionError(str(error), error.hint) from None
    return Condition(f"{path_text(left.path)} {_SYMBOLS[form]} {_shown(operand)}", right.selectors, left, _comparison(form, right), right)


def _take(fields: dict[str, Any], form: str, keys: tuple[str, ...] = ()) -> Any:
    """The one field that stands under one of `keys`; refuses anything beside it."""
    present = [key for key in keys if key in fields]
    unknown = [key for key in fields if key not in keys]
    if unknown:
        raise ConditionError(f"`{form}` has no key `{unknown[0]}`", f"known: {', '.join(keys) or 'none'}")
    if keys and len(present) != 1:
        problem = f"`{form}` needs `{keys[0]}`" if not present else f"`{present[0]}` and `{present[1]}` mean the same"
        raise ConditionError(problem, _EXAMPLE if not present else "keep one of them")
    return fields[present[0]] if present else None


def _from_expression(parsed: Expression, text: str) -> Condition:
    if parsed.operator == TRUTH:
        return Condition(text, (), parsed.left, _is_true, _NOTHING)
    if isinstance(parsed.right, Reference):
        return Condition(text, (), parsed.left, _COMPARISONS[parsed.operator], parsed.right)
    right = compile_template(str(parsed.right)) if isinstance(parsed.right, Selector) else _literal(parsed.right)
    return Condition(text, right.selectors, parsed.left, _comparison(parsed.operator, right), right)


def _literal(text: str | None) -> Template:
    return compile_template((text or "").replace("${", "$${"))


def _shown(operand: Any) -> str:
    return f'"{operand}"' if isinstance(operand, str) and "${" not in operand else to_text(operand) or "null"


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"`{value}`" if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"


# --- the comparisons


def _comparison(operator: str, right: Template) -> Comparison:
    """The operator's comparison, after a look at a constant right side: better refused now than false for ever."""
    if not right.constant:
        return _COMPARISONS[operator]
    operand = right.render(_no_lookup)
    if operator in ORDERINGS and to_number(operand) is None:
        problem = f"`{_SYMBOLS[operator]}` compares numbers, and {_shown(operand)} is none"
        raise ConditionError(problem, "for texts there are `equals` and `matches`")
    if operator == "matches":
        if not isinstance(operand, str):
            raise ConditionError(f"`pattern` must be a text, not {_kind(operand)}", 'write `pattern: "^[a-z]+$"`')
        _pattern(operand)
    return _COMPARISONS[operator]


@lru_cache(maxsize=1_024)
def _pattern(text: str) -> Any:
    try:
        return re2.compile(text, options=_options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        hint = "patterns are RE2: no back-references and no look-around"
        raise ConditionError(f"the pattern `{text}` is no regular expression: {reason}", hint) from None


def _matches(left: Any, right: Any) -> bool:
    text = to_text(left)
    if text is None or not isinstance(right, str):
        return False
    try:
        return _pattern(right).search(text) is not None
    except ConditionError:
        return False  # only a pattern that came from a selector can still be wrong here


def _ordering(compare: Callable[[Any, Any], bool]) -> Comparison:
    def ordered(left: Any, right: Any) -> bool:
        a, b = to_number(left), to_number(right)
        return a is not None and b is not None and compare(a, b)

    return ordered


def _is_true(left: Any, right: Any) -> bool:
    return to_bool(left) is True


def _is_false(left: Any, right: Any) -> bool:
    return to_bool(left) is False


def _differs(left: Any, right: Any) -> bool:
    return not equal(left, right)


def _no_lookup(selector: Selector) -> Any:
    return MISSING


_COMPARISONS: dict[str, Comparison] = {
    "equals": equal,
    "not_equals": _differs,
    "greater_than": _ordering(order.gt),
    "less_than": _ordering(order.lt),
    "greater_or_equal": _ordering(order.ge),
    "less_or_equal": _ordering(order.le),
    "matches": _matches,
}
_NOTHING = compile_template(None)
_ALWAYS = Condition("always", (), Reference(()), _is_true, _NOTHING, _always=True)
