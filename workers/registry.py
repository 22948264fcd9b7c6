"""The registry: which node types a worker serves, and the decorator that makes a function one of them.

    @node("shop.charge", timeout_ms=5_000)
    async def charge(order: Order, context: Context) -> Receipt: ...

The function stays a plain function: call it in tests as it is. `async def` runs in the event loop, `def` in a thread, unless `mode` says
otherwise (see `spec.Mode`). A generator function (`def` or `async def` with `yield`) puts out one value of bytes, written as it is yielded.
Everything that can be wrong with a registration is a UsageError at import time.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ..schemas.errors import UsageError
from ..schemas.flow.node_types import ERROR, STANDARD, TYPE_ALIASES, NodeType
from .nodes import standard_nodes
from .outcome import PORT_DEFAULT
from .signature import read_signature
from .spec import Mode, NodeSpec

Function = TypeVar("Function", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([.:/-]+[A-Za-z0-9_]+)*")
_PORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MARK = "__jetfleet_node__"
_OURS = str(Path(__file__).resolve().parent)


class Registry:
    """Node specs by name. It starts with the standard data nodes, and own ones are added to it."""

    def __init__(self, specs: Iterable[NodeSpec] | None = None) -> None:
        self._specs: dict[str, NodeSpec] = {spec.name: spec for spec in (standard_nodes() if specs is None else specs)}
        self.files: list[str] = []
        """The files that were loaded, for processes that have to load them too."""

    def register(self, spec: NodeSpec) -> None:
        """Add a spec. Raises UsageError if another function has its name."""
        present = self._specs.get(spec.name)
        if present is not None and present.origin != spec.origin:
            raise UsageError(f"two functions are registered as node `{spec.name}`: {present.origin} and {spec.origin}; rename one")
        self._specs[spec.name] = spec

    def get(self, name: str) -> NodeSpec | None:
        return self._specs.get(name)

    def names(self) -> list[str]:
        return sorted(self._specs)

    def own(self) -> dict[str, NodeSpec]:
        """The own nodes by name."""
        return {name: spec for name, spec in sorted(self._specs.items()) if not name.startswith(STANDARD)}

    def node_types(self) -> dict[str, NodeType]:
        """The own nodes' types, as `known_types` of the compiler."""
        return {name: spec.node_type() for name, spec in self.own().items()}

    def load(self, module_or_file: str) -> list[str]:
        """Import a module (`shop.nodes`) or a file (`shop/nodes.py`) and register the nodes in it; their names.

        Raises UsageError with the cause if it is not there, or fails when it is imported.
        """
        is_file = module_or_file.endswith(".py") or os.sep in module_or_file
        filling = _filled.set(self)
        try:
            module = load_file(module_or_file) if is_file else _load_module(module_or_file)
        finally:
            _filled.reset(filling)
        if is_file and module_or_file not in self.files:
            self.files.append(str(Path(module_or_file).resolve()))
        # What was imported before, by somebody else, has not been registered here: its functions carry their specs.
        specs = [spec for value in vars(module).values() if isinstance(spec := getattr(value, _MARK, None), NodeSpec)]
        for spec in specs:
            self.register(spec)
        return sorted(spec.name for spec in specs)


default_registry = Registry()
"""What `@node` fills when no other registry is named, and none is loading."""

_filled: ContextVar[Registry] = ContextVar("filled", default=default_registry)


def own_node_types(sources: Sequence[str]) -> Mapping[str, NodeType]:
    """The own node types of modules and files, for commands that only want to know of them. Raises UsageError."""
    registry = Registry()
    for source in sources:
        registry.load(source)
    return registry.node_types()


def node(
    name: str,
    *,
    ports: tuple[str, ...] = (PORT_DEFAULT,),
    mode: Mode | None = None,
    timeout_ms: int | None = None,
    idempotent: bool = False,
    registry: Registry | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated function as node type `name`. Raises UsageError.

    The first of `ports` is the one that a plain return value takes. `timeout_ms` holds where the flow says nothing. `idempotent` declares
    that executing an activation again is harmless. How often a failed attempt is tried again is the flow's affair, not the node's.
    """

    if not isinstance(name, str):
        raise UsageError(f"`@node` needs the name of the node type: write `@node('shop.{getattr(name, '__name__', 'charge')}')`")
    if isinstance(ports, str):
        raise UsageError(f"node `{name}`: ports are a tuple of names; write `ports=('{ports}',)`")

    def register(function: Function) -> Function:
        if not inspect.isroutine(function):
            kind = "a class" if inspect.isclass(function) else f"an object of type {type(function).__name__}"
            raise UsageError(f"node `{name}`: a node is a function, not {kind}; decorate a `def` or an `async def`")
        spec = _own_spec(function, name, tuple(ports), mode, timeout_ms, idempotent)
        (_filled.get() if registry is None else registry).register(spec)
        setattr(function, _MARK, spec)
        return function

    return register


def _own_spec(
    function: Callable[..., Any],
    name: str,
    ports: tuple[str, ...],
    mode: Mode | None,
    timeout_ms: int | None,
    idempotent: bool,
) -> NodeSpec:
    _check_names(name, ports)
    signature = read_signature(function)
    return NodeSpec(
        name=name,
        mode=_mode(function, mode, name),
        prepare=lambda config: signature.bind(function, config),
        wants_context=signature.context is not None,
        raw=signature.raw,
        ports=ports,
        timeout_ms=timeout_ms,
        idempotent=idempotent,
        summary=(inspect.getdoc(function) or "").partition("\n")[0],
        function=function,
    )


def _check_names(name: str, ports: tuple[str, ...]) -> None:
    if name.startswith(STANDARD):
        raise UsageError(f"node `{name}`: the prefix {STANDARD} belongs to the standard nodes; choose another one")
    if name in TYPE_ALIASES:
        raise UsageError(f"node `{name}`: flows that say so mean {TYPE_ALIASES[name]}; choose another name")
    if not _NAME.fullmatch(name):
        raise UsageError(f"node `{name}`: a name is made of words joined by dots, such as `shop.charge`")
    wrong = next((port for port in ports if not _PORT.fullmatch(port) or port == ERROR), None)
    if wrong is not None or not ports or len(set(ports)) < len(ports):
        which = "" if wrong is None else f" (`{wrong}`)"
        raise UsageError(f"node `{name}`: ports must be different names{which}, at least one; `{ERROR}` is there without being declared")


def _mode(function: Callable[..., Any], mode: Mode | None, name: str) -> Mode:
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if mode is None:
        return "async" if is_async else "thread"
    if mode not in ("async", "thread", "process", "inline"):
        raise UsageError(f"node `{name}`: there is no mode `{mode}`; known: async, thread, process, inline")
    if is_async != (mode == "async"):
        raise UsageError(f"node `{name}`: mode `{mode}` needs {'an `async def`' if mode == 'async' else 'a plain `def`'}")
    if mode == "inline" and inspect.isgeneratorfunction(function):
        raise UsageError(
            f"node `{name}`: what a generator yields is written while it runs, for which mode `inline` has no time; leave it out"
        )
    if mode == "process" and "<" in function.__qualname__:
        raise UsageError(f"node `{name}`: another process finds a function by its name, so define it at the top of its module")
    return mode


# --- loading


def load_file(file: str) -> ModuleType:
    """The module in a file, imported once per process under a name made from its path. Raises UsageError."""
    path = Path(file).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {file} to load nodes from")
    name = f"jetfleet_nodes_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise UsageError(f"{file} is no Python file")
    _make_importable(str(path.parent))
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # before it runs: types in it are looked up by their module's name
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _not_loaded(file, error) from error
    return module


def _load_module(name: str) -> ModuleType:
    _make_importable(os.getcwd())
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise _not_loaded(name, error) from error


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _not_loaded(source: str, error: BaseException) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, UsageError):
        return UsageError(f"nodes from {source}: {error}")
    where = _failing_line(error, source)
    return UsageError(f"the nodes in {source} cannot be loaded: {error.__class__.__name__}: {error}{where}")


def _failing_line(error: BaseException, source: str) -> str:
    """` (at FILE:LINE)`: the last line outside of the library and the machinery of importing; empty for a syntax error, which says it."""
    if isinstance(error, SyntaxError):
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(("<", _OURS))]
    stem = Path(source).stem if source.endswith(".py") else source.rpartition(".")[2]
    own = [frame for frame in frames if Path(frame.filename).stem == stem] or frames
    return f" (at {own[-1].filename}:{own[-1].lineno})" if own else ""
