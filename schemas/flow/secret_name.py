"""The names of secrets, as definitions and commands write them.

A text that is no name may be a secret itself, pasted where its name belongs: it is refused and never repeated, neither in a problem nor in
a log or a list.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from .block import Refused, as_list
from .definition import Text

MAX = 64
WORDS = f"letters, digits, `_`, `-` and `.`, {MAX} at most, the first one a letter, a digit or `_`"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def is_secret_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _checked(text: str) -> str:
    if not is_secret_name(text):
        raise Refused(
            "INVALID_VALUE",
            f"what stands here is no name of a secret (it is not shown: it may be the secret itself); a name has {WORDS}",
            "write the secret's name, keep its value out of the definition, and set it where the process runs: JETFLEET_SECRET_<NAME>",
        )
    return text


SecretName = Annotated[Text, AfterValidator(_checked)]
SecretNames = Annotated[list[SecretName], Field(min_length=1), BeforeValidator(as_list, json_schema_input_type=str | list[str])]
