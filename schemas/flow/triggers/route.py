"""Routes: the paths of webhooks, with parameters.

/orders                 this path and no other
/orders/{id}            one part, whatever it is
/files/{rest:path}      all that follows, with its slashes; only at the end
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OWN = "-"
"""The first part of the paths that the listener keeps for itself."""
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_FIXED = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]*")


@dataclass(frozen=True, slots=True)
class Route:
    """`parts`: fixed texts, None where a parameter stands. `names`: of these, in order. `rest`: the last takes all that is left."""

    parts: tuple[str | None, ...]
    names: tuple[str, ...] = ()
    rest: bool = False


def parse_route(path: str) -> Route:
    """Raises ValueError, with what is wrong."""
    if not path.startswith("/"):
        raise ValueError(f"the path `{path}` does not begin with `/`")
    written = path[1:].split("/")
    parts: list[str | None] = []
    names: list[str] = []
    rest = False
    for place, part in enumerate(written):
        parameter = _PARAMETER.fullmatch(part)
        if parameter is None:
            parts.append(_fixed(part, path))
            continue
        parts.append(None)
        names.append(parameter[1])
        rest = parameter[2] is not None
        if rest and place < len(written) - 1:
            raise ValueError(f"in the path `{path}` something follows `{part}`, which takes all that follows")
    if len(set(names)) < len(names):
        raise ValueError(f"in the path `{path}` two parameters have the same name")
    if parts[0] == OWN:
        raise ValueError(f"the path `{path}` is the listener's own, as all below `/{OWN}/` are")
    return Route(tuple(parts), tuple(names), rest)


def _fixed(part: str, path: str) -> str:
    if part in (".", ".."):
        raise ValueError(f"the path `{path}` has a `{part}` in it, which no client sends")
    if not _FIXED.fullmatch(part):
        raise ValueError(f"in the path `{path}`, `{part}` is neither plain text nor a parameter such as `{{id}}` or `{{rest:path}}`")
    return part
