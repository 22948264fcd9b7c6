"""Multipart forms: their fields as texts, and their files.

Read piece by piece: a file that is large is never in memory as a whole.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .replies import Refusal
from .spool import Spool

PARTS_MAX = 1_000
NAME_MAX_BYTES = 255
NAME_DEFAULT = "upload"
_silent = logging.Logger("jetfleet.webhook", logging.CRITICAL + 1)
"""What is wrong with a form, its sender is told; in a log anybody could fill the disk with it."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


def options_of(header: bytes) -> tuple[str, dict[str, str]]:
    """What a header like `text/plain; charset=utf-8` says, in lower case, and its options by name."""
    said, options = parse_options_header(header)
    found = {name.decode("latin-1").strip().lower(): value.decode("latin-1").strip() for name, value in options.items()}
    return said.decode("latin-1").strip(), found


def parts(body: Iterable[bytes], boundary: str) -> list[tuple[str, Any]]:
    """The parts in order, by name: a text, or a file where the part has a file's name. Raises Refusal, OSError."""
    if not boundary:
        raise _unreadable("its type names no boundary")
    form = _Form()
    try:
        parser = MultipartParser(boundary.encode("latin-1"), form.callbacks())  # type: ignore[arg-type]
        parser.logger = _silent
        for piece in body:
            parser.write(piece)
        parser.finalize()
    except FormParserError as error:
        raise _unreadable(str(error)) from None
    if not form.complete:
        raise _unreadable("it ends too early")
    return form.found


class _Form:
    """What the parser reports, put together."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Any]] = []
        self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._body = Spool()

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.found) >= PARTS_MAX:
            raise Refusal(400, "TOO_MANY_FIELDS", f"the form has more than {PARTS_MAX:,} parts")
        self._headers, self._body = {}, Spool()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._body.add(data[start:end]):
            self._body.write_out()

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _unreadable("one of its parts has no name")
        name = _utf8(options[b"name"])
        if b"filename" in options:
            self.found.append((name, self._body.file(safe_name(_utf8(options[b"filename"])))))
        else:
            self.found.append((name, _utf8(self._body.read())))

    def _finish(self) -> None:
        self.complete = True


def safe_name(name: str) -> str:
    """The file's own name, without folders of any system, and short enough to be one."""
    name = _UNSAFE.sub("", re.split(r"[/\\]", name)[-1])
    while len(name.encode()) > NAME_MAX_BYTES:
        name = name[1:]  # what matters most of a name, its ending, stays
    return NAME_DEFAULT if name in ("", ".", "..") else name


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "NOT_UTF8", "the form is not UTF-8") from None


def _unreadable(why: str) -> Refusal:
    return Refusal(400, "NOT_MULTIPART", f"the form cannot be read: {why}")
