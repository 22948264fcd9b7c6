"""What the models expect at a place of a definition: which keys, and what in plain words.

Reads the annotations of the block models, so that messages and suggestions never need a list of their own.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ..flow.definition import Block
from ..flow.problems import Path

_WORDS: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def expected(root: Any, path: Path) -> Any:
    """The annotation at `path` below the annotation `root`; Any where the models say nothing."""
    here = root
    for part in path:
        here = next((found for option in _options(here) if (found := _child(option, part)) is not None), Any)
    return here


def blocks(annotation: Any) -> list[type[Block]]:
    """The models that a mapping at this place may be."""
    return [option for option in _options(annotation) if isinstance(option, type) and issubclass(option, Block)]


def keys(annotation: Any) -> list[str]:
    """The keys that a mapping at this place may have, in every spelling."""
    found: dict[str, None] = {}
    for block in blocks(annotation):
        found.update((entry.alias or name, None) for name, entry in block.model_fields.items())
        found.update(dict.fromkeys(getattr(block, "spellings", {})))
    return list(found)


def field_of(block: type[Block], key: str) -> tuple[str, FieldInfo] | None:
    """The field that a key means, under its name, alias or another spelling."""
    name = getattr(block, "spellings", {}).get(key, key)
    for field, entry in block.model_fields.items():
        if name in (field, entry.alias):
            return field, entry
    return None


def is_required(root: Any, path: Path) -> bool:
    """Whether the key at the end of `path` must be written."""
    if not path:
        return False
    found = [field_of(block, str(path[-1])) for block in blocks(expected(root, path[:-1]))]
    return any(entry is not None and entry[1].is_required() for entry in found)


def pattern(root: Any, path: Path) -> str:
    """What a text at `path` has to match; "" where it may be any."""
    found = [field_of(block, str(path[-1])) for block in blocks(expected(root, path[:-1]))] if path else []
    kinds = [kind for entry in found if entry is not None for kind in (*entry[1].metadata, *_metadata(entry[1].annotation))]
    return next((kind.pattern for kind in kinds if isinstance(getattr(kind, "pattern", None), str)), "")


def words(annotation: Any) -> str:
    """What is expected, in words: `text`, `a list or a mapping`, `one of all, any or a mapping`."""
    parts: dict[str, None] = {}
    for option in _options(annotation):
        if get_origin(option) is Literal:
            parts[", ".join(f"`{value}`" for value in get_args(option))] = None
        elif (get_origin(option) or option) is list:
            parts["a list"] = None
        elif (get_origin(option) or option) is dict or (isinstance(option, type) and issubclass(option, Block)):
            parts["a mapping"] = None
        elif option is not type(None):
            parts[_WORDS.get(option, "a value")] = None
    return " or ".join(parts)


def _options(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _options(member)
    else:
        yield annotation


def _metadata(annotation: Any) -> Iterator[Any]:
    """What stands beside the types, in the members of a union too."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for member in get_args(annotation):
        yield from _metadata(member)


def _child(option: Any, part: str | int) -> Any:
    origin = get_origin(option)
    if origin is list and isinstance(part, int):
        return get_args(option)[0]
    if origin is dict:
        return get_args(option)[1]
    if isinstance(option, type) and issubclass(option, Block):
        found = field_of(option, str(part))
        return None if found is None else found[1].annotation
    return None
