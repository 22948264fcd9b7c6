"""What product code must not do, found in its syntax: ways to execute data, and to trust whom nobody vouches for."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib", "imp"})
CALLS = frozenset({"eval", "exec", "compile", "__import__"})
ATTRIBUTES = frozenset(
    {
        "os.system", "os.popen", "tempfile.mktemp", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all",
        "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "yaml.CUnsafeLoader", "yaml.CFullLoader",
        "ssl._create_unverified_context", "ssl.CERT_NONE", "asyncio.create_subprocess_shell", "numpy.load", "np.load", "ctypes.CDLL",
    }
)  # fmt: skip
KEYWORDS = {"shell": True, "verify_ssl": False, "check_hostname": False, "allow_pickle": True}
"""Of any call."""


def forbidden(source: str) -> Iterator[str]:
    """What is forbidden in it, each as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        for what in _of(node):
            yield f"{getattr(node, 'lineno', 0)}: {what}"


def _of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (f"import {alias.name}" for alias in names if alias.name.split(".")[0] in MODULES)
        case ast.ImportFrom(module=str(module), level=0):
            if module.split(".")[0] in MODULES:
                yield f"import {module}"
            yield from (f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in ATTRIBUTES)
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield f"{name}()"
        case ast.Attribute() if (path := _path(node)) in ATTRIBUTES:
            yield path
        case ast.Assign(targets=[ast.Attribute(attr="check_hostname")]):
            yield "check_hostname ="
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS and isinstance(keyword.value, ast.Constant) and keyword.value.value is KEYWORDS[keyword.arg]:
                yield f"{keyword.arg}={keyword.value.value}"


def _path(node: ast.Attribute) -> str:
    return f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else ""
