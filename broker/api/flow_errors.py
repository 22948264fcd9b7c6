"""What may stand in the way of a decision about a flow or one of its versions: each with what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...schemas.errors import JetfleetError
from ...schemas.messages import Definition
from .errors import nearest

SHOWN_CHARACTERS = 12
LISTED_MAX = 5


class UnknownVersion(JetfleetError):
    """The flow was never deployed in that version. Nothing was changed."""

    code = "UNKNOWN_VERSION"

    def __init__(self, flow: str, said: str, known: Sequence[Definition]) -> None:
        near = nearest(said, [each.version for each in known])
        super().__init__(
            f"flow {flow!r} has no version {said!r}{near}, nor one whose digest begins so; it has: {_list(known)}. "
            f"`jetfleet flow versions {flow}` shows all"
        )


class AmbiguousVersion(JetfleetError):
    """Several versions of the flow are called so. Nothing was changed."""

    code = "AMBIGUOUS_VERSION"

    def __init__(self, flow: str, said: str, found: Sequence[Definition]) -> None:
        super().__init__(f"{len(found)} versions of flow {flow!r} are called {said!r}; name one by its digest: {_list(found)}")


class VersionIsCurrent(JetfleetError):
    """New runs begin with the version, so it cannot be drained by itself. Nothing was changed."""

    code = "VERSION_IS_CURRENT"

    def __init__(self, flow: str, version: str) -> None:
        super().__init__(
            f"new runs of flow {flow!r} begin with version {version}: deploy or roll back to another one first, "
            f"or drain the flow as a whole: `jetfleet flow drain {flow}`"
        )


class TooManyVersions(JetfleetError):
    """More versions of the flow would have open runs than its settings allow. Nothing was deployed."""

    code = "TOO_MANY_VERSIONS"

    def __init__(self, flow: str, limit: int, open: Mapping[str, int], known: Sequence[Definition]) -> None:
        names = {each.digest: each.version for each in known}
        oldest = sorted(open, key=lambda digest: [each.digest for each in known].index(digest) if digest in names else -1)
        there = ", ".join(
            f"{names.get(digest, '?')} ({digest[:SHOWN_CHARACTERS]}, {open[digest]:,} open)" for digest in oldest[:LISTED_MAX]
        )
        super().__init__(
            f"{len(open)} versions of flow {flow!r} have runs, and {limit} may have any, this one among them (max_concurrent_versions): "
            f"{there}. End the runs of one, `jetfleet flow drain {flow} --version {oldest[0][:SHOWN_CHARACTERS]}`, or deploy with --force"
        )


def _list(versions: Sequence[Definition]) -> str:
    """The latest first."""
    names = [f"{each.version} ({each.digest[:SHOWN_CHARACTERS]})" for each in reversed(versions)]
    return ", ".join(names[:LISTED_MAX]) + (", …" if len(names) > LISTED_MAX else "")
