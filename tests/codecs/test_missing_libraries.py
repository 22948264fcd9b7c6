"""Optional libraries: not imported before a value of theirs is met; without one, the error says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = {"numpy": ("numpy", "numpy"), "arrow": ("pyarrow", "arrow"), "pandas": ("pandas", "pandas"), "image": ("PIL", "images")}

WITHOUT = """
import sys
sys.modules[{module!r}] = None
from jetfleet.broker.codecs.registry import codec_named, from_coded
from jetfleet.schemas.payload_errors import UnknownCodec
from jetfleet.schemas.ref import Coded
for read in (lambda: codec_named({codec!r}), lambda: from_coded(Coded({codec!r}, b"", b""))):
    try:
        read()
    except UnknownCodec as error:
        print(error)
"""

NOTHING_LOADED = """
import sys
from dataclasses import dataclass
from jetfleet.broker.codecs.registry import codec_for, codec_named, nbytes, to_coded
@dataclass
class Point:
    x: int
for value in ("text", b"bytes", bytearray(b"buffer"), 1, None, {}, [], Point(1)):
    codec_for(value), nbytes(value), to_coded(value)
codec_named("list").encode([{"a": 1}])
print(sorted({"numpy", "pyarrow", "pandas", "PIL"} & set(sys.modules)))
"""


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", sorted(EXTRAS))
def test_without_its_library_a_codec_says_what_to_install(codec: str) -> None:
    module, extra = EXTRAS[codec]
    lines = printed(WITHOUT.format(module=module, codec=codec)).splitlines()
    assert len(lines) == 2
    assert all(f"`{codec}` needs {module}" in line and line.endswith(f"pip install 'jetfleet[{extra}]'") for line in lines)


def test_frames_need_arrow_too() -> None:
    assert "pip install 'jetfleet[pandas]'" in printed(WITHOUT.format(module="pyarrow", codec="pandas"))


def test_plain_values_load_no_library() -> None:
    assert printed(NOTHING_LOADED).strip() == "[]"
