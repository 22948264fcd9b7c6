"""Registering own nodes and loading the files that do."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.errors import UsageError
from jetfleet.workers import Context, node
from jetfleet.workers.registry import Registry


def write(path: Path, text: str) -> str:
    path.write_text(textwrap.dedent(text))
    return str(path)


NODES = """
    from dataclasses import dataclass
    from jetfleet.workers import node

    @dataclass
    class Order:
        id: str

    @node("shop.ship", ports=("out", "late"), timeout_ms=5000, idempotent=True)
    async def ship(order: Order) -> str:
        '''Hand the parcel over.

        More about it.'''
        return order.id
"""


def test_a_registry_starts_with_the_standard_nodes_that_workers_execute() -> None:
    names = Registry().names()
    assert [name.removeprefix("std::") for name in names] == [
        "aggregate", "concat", "http", "json_dynamic", "kafka_publish", "log", "map", "merge", "set", "switch",
    ]  # fmt: skip


def test_a_file_of_nodes_is_loaded_once(tmp_path: Path) -> None:
    registry, file = Registry(), write(tmp_path / "shop.py", NODES)
    assert registry.load(file) == registry.load(file) == ["shop.ship"]
    assert registry.files == [file]


def test_a_registered_node_is_described_to_the_compiler(tmp_path: Path) -> None:
    registry = Registry()
    registry.load(write(tmp_path / "shop.py", NODES))
    spec, described = registry.own()["shop.ship"], registry.node_types()["shop.ship"]
    assert (described.ports, described.summary, described.port("late")) == (("out", "late"), "Hand the parcel over.", "late")
    assert (spec.mode, spec.timeout_ms, spec.idempotent) == ("async", 5000, True)


def test_a_module_of_nodes_is_found_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry_example").mkdir()
    write(tmp_path / "registry_example" / "shop.py", NODES.replace("shop.ship", "example.ship"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    assert Registry().load("registry_example.shop") == ["example.ship"]


def test_a_file_may_import_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    write(tmp_path / "registry_neighbour.py", NODES.replace("shop.ship", "neighbour.ship"))
    file = write(tmp_path / "main.py", "from registry_neighbour import ship")
    assert Registry().load(file) == ["neighbour.ship"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("from jetfleet.workers import node\n@node('std::mine')\ndef f(value): ...", "belongs to the standard nodes"),
    ],
)
def test_a_file_that_fails_is_a_usage_error_with_its_cause(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "broken.py", text)
    with pytest.raises(UsageError) as refused:
        Registry().load(file)
    assert message in str(refused.value)
    assert "broken.py" in str(refused.value)


@pytest.mark.parametrize("source", ["nowhere/nodes.py", "nowhere.nodes"])
def test_what_is_not_there_is_a_usage_error(source: str) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        Registry().load(source)


def test_two_functions_cannot_have_one_name() -> None:
    registry = Registry()

    @node("shop.charge", registry=registry)
    def charge(value: Any) -> None: ...

    def other(value: Any) -> None: ...

    with pytest.raises(UsageError, match="two functions are registered as node"):
        node("shop.charge", registry=registry)(other)


def test_the_function_stays_a_plain_function() -> None:
    @node("shop.double", registry=Registry())
    def double(value: int) -> int:
        return value * 2

    assert double(4) == 8


def plain(value: Any) -> None: ...


async def waiting(value: Any) -> None: ...


def greedy(value: Any, order: dict[str, Any], database: Any) -> None: ...


def keyworded(value: Any, *, database: Any) -> None: ...


def unresolved(value: NotDefinedAnywhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def odd(value: Registry) -> None: ...


def splendid(context: Context, value: Any = None, *rest: Any, config: Any = None, extra: int = 1, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (plain, {"name": "std::mine"}, "prefix std::"),
        (plain, {"name": "shop charge"}, "words joined by dots"),
        (plain, {"name": ""}, "words joined by dots"),
        (plain, {"ports": ()}, "at least one"),
        (plain, {"ports": ("a", "a")}, "different names"),
        (plain, {"ports": ("out", "error")}, "`error`"),
        (plain, {"ports": ("no way",)}, "`no way`"),
        (plain, {"mode": "async"}, "needs an `async def`"),
        (waiting, {"mode": "thread"}, "needs a plain `def`"),
        (plain, {"mode": "fiber"}, "no mode `fiber`"),
        (lambda value: None, {"mode": "process"}, "top of its module"),
        (greedy, {}, "nothing is known to pass as `order`"),
        (keyworded, {}, "nothing is known to pass as `database`"),
        (unresolved, {}, "NotDefinedAnywhere"),
        (odd, {}, "`value` cannot be checked against its annotation"),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused_at_once(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        node(**{"name": "shop.charge", "registry": Registry(), **options})(function)
    assert message in str(refused.value)


def test_parameters_with_defaults_and_in_any_order_are_fine() -> None:
    registry = Registry()
    node("shop.splendid", registry=registry)(splendid)
    spec = registry.get("shop.splendid")
    assert spec is not None and spec.wants_context
