"""The models' refusals as problems: our codes, plain words, and a hint what to write instead.

`problems_of` turns one pydantic error report into problems at paths of the definition as it was *written*: the labels
that pydantic puts into paths (members of unions, list indices of a value that stood alone) are taken out, and what
several members of a union have to say about one value becomes one message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..flow.block import Refused
from ..flow.definition import Block
from ..flow.problems import Path, Problem
from . import shape
from .hints import for_type, near_key, near_word


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of pydantic's, at the path where it was written; `union` is how much of the path lies before a union's label."""

    kind: str
    path: Path
    value: Any
    context: Mapping[str, Any]
    message: str
    union: int | None = None
    base: Path = ()
    """Where the model's own paths begin in the definition; for words only."""


TOLD_MAX = 200
"""Problems of one model: who has more mends these first, and words for a hundred thousand take minutes."""


def problems_of(error: ValidationError, model: type[Block], raw: Any, base: Path = ()) -> list[Problem]:
    """The problems behind `error`, which `model` raised for `raw`; their paths begin with `base`."""
    findings = _fold([_finding(entry, model, raw, base) for entry in error.errors(include_url=False)[:TOLD_MAX]])
    told = [_problem(finding, model) for finding in findings]
    found = [Problem(problem.code, problem.message, (*base, *problem.path), problem.hint) for problem in told]
    return _without_echoes(found)


def _finding(entry: Mapping[str, Any], model: type[Block], raw: Any, base: Path) -> _Finding:
    path, union = _written(entry["loc"], entry["type"], model, raw)
    return _Finding(entry["type"], path, entry["input"], entry.get("ctx", {}), entry["msg"], union, base)


def _written(loc: Path, kind: str, model: type[Block], raw: Any) -> tuple[Path, int | None]:
    """The path as the author would count it, and where in it a union's label stood."""
    path: list[str | int] = []
    here, union = raw, None
    for number, part in enumerate(loc):
        key = _spelled(part, here, model, tuple(path)) if isinstance(here, dict) else part
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (kind == "missing" and number == len(loc) - 1):
            union = len(path) if isinstance(part, str) and part != "[key]" else union
            continue
        path.append(key)
    return tuple(path), union


def _spelled(part: str | int, here: Mapping[str, Any], model: type[Block], path: Path) -> str | int:
    """The key under which the field `part` was written."""
    if part in here:
        return part
    for block in shape.blocks(shape.expected(model, path)):
        for spelling, name in getattr(block, "spellings", {}).items():
            if name == part and spelling in here:
                return str(spelling)
    return part


def _fold(findings: list[_Finding]) -> list[_Finding]:
    """One finding per union instead of one per member: the member that fits best speaks, else all with one voice."""
    folded: dict[Any, _Finding] = {}
    for number, finding in enumerate(findings):
        if finding.union is None:
            folded[number] = finding
            continue
        place = finding.path[: finding.union]
        rivals = [other for other in findings if other.union is not None and other.path[: other.union] == place]
        near = [rival for rival in rivals if _fits(rival, place)]
        if finding in near or len(rivals) == 1:
            folded[number] = finding
        elif not near:
            folded[place] = _Finding("union", place, finding.value, {}, "", None, finding.base)
    return list(folded.values())


def _fits(finding: _Finding, place: Path) -> bool:
    """Whether this member of a union took the value for one of its own and found a fault further in."""
    return len(finding.path) > len(place) or not (finding.kind.endswith("_type") or finding.kind == "literal_error")


def _without_echoes(problems: list[Problem]) -> list[Problem]:
    """Leaves out `x is missing` where an unknown key beside it is taken for a misspelt `x`, or for `x` and its value in one word."""
    unknown = [problem for problem in problems if problem.code == "UNKNOWN_KEY" and "`" in problem.hint]
    meant = {(*problem.path[:-1], problem.hint.split("`")[1].partition(":")[0]) for problem in unknown}
    return [problem for problem in problems if not (problem.code == "MISSING_FIELD" and problem.path in meant)]


def _problem(finding: _Finding, model: type[Block]) -> Problem:
    tell = _TELLERS.get(finding.kind, _anything_else)
    return tell(finding, model)


def _missing(finding: _Finding, model: type[Block]) -> Problem:
    key = finding.path[-1]
    return Problem("MISSING_FIELD", f"`{key}` is missing{_inside((*finding.base, *finding.path[:-1]))}", finding.path, f"add `{key}:`")


def _unknown_key(finding: _Finding, model: type[Block]) -> Problem:
    key = str(finding.path[-1])
    known = shape.keys(shape.expected(model, finding.path[:-1]))
    return Problem("UNKNOWN_KEY", f"unknown key `{key}`{_inside((*finding.base, *finding.path[:-1]))}", finding.path, near_key(key, known))


def _wrong_type(words: str) -> Callable[[_Finding, type[Block]], Problem]:
    def tell(finding: _Finding, model: type[Block]) -> Problem:
        message = f"{_name(finding.path)} must be {words}, but is {_found(finding.value)}"
        return Problem("INVALID_TYPE", message, finding.path, for_type(words, (*finding.base, *finding.path), finding.value))

    return tell


def _no_text(finding: _Finding, model: type[Block]) -> Problem:
    problem = _wrong_type("text")(finding, model)
    words, hint = _measure(shape.pattern(model, finding.path))
    if not words or finding.value is None:
        return problem
    return Problem(problem.code, problem.message.replace("must be text", f"must be {words}", 1), problem.path, hint)


def _measure(pattern: str) -> tuple[str, str]:
    """What a text of this pattern measures, and how it is written; nothing of a pattern that is another's."""
    if "ms|s|m|h|d" in pattern:
        return "a duration", "write a number and ms, s, m, h or d: `30d`"
    if "KiB" in pattern:
        return "a size", "write a whole number and B, KiB or MiB: `64KiB`"
    return "", ""


def _union(finding: _Finding, model: type[Block]) -> Problem:
    return _wrong_type(shape.words(shape.expected(model, finding.path)))(finding, model)


def _bound(words: str, key: str) -> Callable[[_Finding, type[Block]], Problem]:
    def tell(finding: _Finding, model: type[Block]) -> Problem:
        message = f"{_name(finding.path)} must be {words} {finding.context[key]:,}, not {finding.value}"
        return Problem("INVALID_VALUE", message, finding.path)

    return tell


def _no_choice(finding: _Finding, model: type[Block]) -> Problem:
    choices = [choice.strip("' ") for choice in finding.context["expected"].replace(" or ", ", ").split(", ")]
    hint = near_word(str(finding.value), choices)
    return Problem("INVALID_VALUE", f"{_name(finding.path)} cannot be {_found(finding.value)}", finding.path, hint)


def _pattern(finding: _Finding, model: type[Block]) -> Problem:
    if finding.value == "":
        return _too_short(finding, model)
    value, (words, hint) = _cut(str(finding.value)), _measure(finding.context["pattern"])
    if words:
        return Problem("INVALID_VALUE", f"`{value}` is not {words}", finding.path, hint)
    message = f"`{value}` is not a valid name"
    return Problem("INVALID_VALUE", message, finding.path, "a name has letters, digits, `_` and `-`, and begins with a letter or `_`")


def _too_short(finding: _Finding, model: type[Block]) -> Problem:
    code = "MISSING_FIELD" if finding.value == "" and shape.is_required(model, finding.path) else "INVALID_VALUE"
    return Problem(
        code, f"{_name(finding.path)} is empty", finding.path, "write a value" if finding.value == "" else "add at least one item"
    )


def _no_such_tag(finding: _Finding, model: type[Block]) -> Problem:
    key = finding.context["discriminator"].strip("'")
    known = [tag.strip("' ") for tag in finding.context.get("expected_tags", "").split(",")]
    tag = finding.context.get("tag", "")
    return Problem("INVALID_VALUE", f"`{key}` cannot be text `{tag}`", (*finding.path, key), near_word(tag, known))


def _no_tag(finding: _Finding, model: type[Block]) -> Problem:
    key = finding.context["discriminator"].strip("'")
    return Problem("MISSING_FIELD", f"`{key}` is missing{_inside((*finding.base, *finding.path))}", (*finding.path, key), f"add `{key}:`")


def _refused(finding: _Finding, model: type[Block]) -> Problem:
    error = finding.context.get("error")
    if not isinstance(error, Refused):
        return _anything_else(finding, model)
    return Problem(error.code, error.message, (*finding.path, *error.at), error.hint)


def _anything_else(finding: _Finding, model: type[Block]) -> Problem:
    return Problem("INVALID_VALUE", f"{_name(finding.path)}: {finding.message}", finding.path)


_TELLERS: Mapping[str, Callable[[_Finding, type[Block]], Problem]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _no_text,
    "int_type": _wrong_type("a whole number"),
    "float_type": _wrong_type("a number"),
    "bool_type": _wrong_type("true or false"),
    "list_type": _wrong_type("a list"),
    "dict_type": _wrong_type("a mapping"),
    "model_type": _wrong_type("a mapping"),
    "model_attributes_type": _wrong_type("a mapping"),
    "union": _union,
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": _no_choice,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _too_short,
    "too_short": _too_short,
    "union_tag_invalid": _no_such_tag,
    "union_tag_not_found": _no_tag,
    "value_error": _refused,
}


def _name(path: Path) -> str:
    """`timeout_ms`, `parts[1]`: the last key of a path with the indices behind it."""
    indices: list[str] = []
    for part in reversed(path):
        if isinstance(part, str):
            return f"`{part}{''.join(reversed(indices))}`"
        indices.append(f"[{part}]")
    return "the value"


def _inside(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f" in {text}" if text else ""


def _found(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text `{_cut(value)}`"
    return "a list" if isinstance(value, list) else "a mapping"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
