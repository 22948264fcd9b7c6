"""Decoders: how values in a format of the user's own, such as Avro, are read.

A decoder is a function from a value and its headers to what the flow gets, named `module:function` or `file.py:function`. Modules are found
as those of own nodes are: what is installed, and what lies in the folder where the process was started.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from ...broker.triggers.source import SourceBroken

Decode: TypeAlias = Callable[[bytes, Mapping[str, bytes]], Any]
"""From a value and its headers, of which the last one of a name counts. May raise whatever it likes: then the value is unreadable."""


def load_decoder(name: str) -> Decode:
    """The function of this name. Raises SourceBroken with the cause."""
    source, _, function = name.rpartition(":")
    try:
        found = getattr(_file(Path(source).resolve()) if source.endswith(".py") else _module(source), function)
    except Exception as error:  # a module that is imported may raise anything
        raise SourceBroken(f"the decoder {name} cannot be loaded: {type(error).__name__}: {error}") from None
    if not callable(found):
        raise SourceBroken(f"the decoder {name} is no function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _module(name: str) -> ModuleType:
    _make_importable(os.getcwd())
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    """Read anew each time: a source that is made again after its decoder was mended gets the mended one."""
    _make_importable(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"jetfleet_decoder_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
