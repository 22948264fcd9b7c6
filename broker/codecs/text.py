"""The codec `text`: a `str` as UTF-8. Reading it makes the string, which is a copy."""

from __future__ import annotations

from typing import Any

from ...schemas.errors import UnencodableValue
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING
from .codec import Encoded


class TextCodec:
    name = "text"

    def encode(self, value: Any) -> Encoded:
        try:
            body = value.encode()
        except UnicodeEncodeError as error:
            raise UnencodableValue(f"the text has no form in UTF-8: {error}; return it as bytes in the encoding that it has") from None
        return Encoded(b"", (body,) if body else ())

    def decode(self, body: memoryview, meta: bytes) -> str:
        try:
            return str(body, "utf-8")
        except UnicodeDecodeError as error:
            raise PayloadCorrupt(f"a text of {body.nbytes} bytes is no UTF-8: {error}") from None

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return MISSING if path else self.decode(body, meta)
