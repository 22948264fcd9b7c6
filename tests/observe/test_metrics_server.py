"""The metrics server over real HTTP: metrics, health, readiness, and the options that switch it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from jetfleet.broker.observe import health
from jetfleet.broker.observe.counters import CoordinatorCounters, WorkerCounters
from jetfleet.broker.observe.health import Pulse, caught_up, connected, pulling
from jetfleet.broker.observe.metrics_server import CannotServeMetrics, MetricsServer
from jetfleet.broker.observe.observed import Observed, observed
from jetfleet.broker.server.ports import free_port

from ..fleet.running import run

DOCS = Path(__file__).parents[2] / "docs"


async def get(server: MetricsServer, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    async with aiohttp.ClientSession() as session, session.get(server.url + path, headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


def served(test: Callable[[MetricsServer], Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a test with a server that runs."""

    async def with_server() -> Any:
        server = MetricsServer(*args, **kwargs)
        await server.start()
        try:
            return await test(server)
        finally:
            await server.stop()

    return run(with_server())


def test_a_scraper_gets_the_process_and_its_counters() -> None:
    counters = CoordinatorCounters()
    counters.records_folded = 7

    async def test(server: MetricsServer) -> None:
        status, kind, text = await get(server, "/metrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert families["jetfleet_records_folded"].samples[0].value == 7
        assert families["jetfleet_build_info"].samples[0].labels["role"] == "coordinator"
        assert families["process_resident_memory_bytes"].samples[0].value > 0
        counters.records_folded += 1
        assert "jetfleet_records_folded_total 8.0" in (await get(server, "/metrics"))[2]

    served(test, "coordinator", [counters])


def test_who_asks_for_openmetrics_gets_it() -> None:
    async def test(server: MetricsServer) -> None:
        _, kind, text = await get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text") and text.endswith("# EOF\n")

    served(test, "worker", [WorkerCounters()])


def test_two_roles_in_one_process_share_a_page() -> None:
    async def test(server: MetricsServer) -> None:
        text = (await get(server, "/metrics"))[2]
        assert "jetfleet_events_taken_total" in text and "jetfleet_redeliveries_total" in text

    served(test, "up", [CoordinatorCounters(), WorkerCounters()])


def test_a_process_is_ready_when_all_its_conditions_hold() -> None:
    reasons = {"nats": "not connected", "partitions": ""}

    async def test(server: MetricsServer) -> None:
        status, kind, body = await get(server, "/readyz")
        assert (status, kind.partition(";")[0]) == (503, "application/json")
        assert json.loads(body) == {"ready": False, "reasons": {"nats": "not connected"}}
        assert "jetfleet_ready 0.0" in (await get(server, "/metrics"))[2]
        reasons["nats"] = ""
        assert await get(server, "/readyz") == (200, kind, '{"ready": true, "reasons": {}}')
        assert "jetfleet_ready 1.0" in (await get(server, "/metrics"))[2]

    served(test, "coordinator", conditions={name: lambda name=name: reasons[name] for name in reasons})


def test_a_condition_that_cannot_be_told_does_not_hold() -> None:
    def not_there() -> str:
        raise AttributeError("no leases yet")

    async def test(server: MetricsServer) -> None:
        status, _, body = await get(server, "/readyz")
        assert status == 503
        assert "no leases yet" in json.loads(body)["reasons"]["partitions"]

    served(test, "coordinator", conditions={"partitions": not_there})


def test_a_process_is_alive_whether_it_is_ready_or_not() -> None:
    async def test(server: MetricsServer) -> None:
        status, _, body = await get(server, "/healthz")
        assert (status, json.loads(body)["alive"], json.loads(body)["role"]) == (200, True, "worker")

    served(test, "worker", conditions={"nats": lambda: "not connected"})


def test_a_loop_that_was_held_up_for_too_long_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LAG_MAX_S", -1.0)

    async def test(server: MetricsServer) -> None:
        status, _, body = await get(server, "/healthz")
        assert (status, json.loads(body)["alive"]) == (503, False)

    served(test, "worker")


def test_a_pulse_that_does_not_beat_knows_no_lag() -> None:
    assert Pulse().lag_s == 0.0


def test_conditions_of_the_roles() -> None:
    class Link:
        is_connected = False

    assert "not connected" in connected(Link())()
    Link.is_connected = True
    assert connected(Link())() == ""
    assert pulling(lambda: True)() == "" and pulling(lambda: False)() != ""
    assert caught_up(lambda: None)() == "has not caught up yet"
    assert caught_up(lambda: 3.0, limit_s=5)() == ""
    assert caught_up(lambda: 30.0, limit_s=5)() == "is 30 s behind, more than 5 s"


def test_other_paths_and_methods_are_none() -> None:
    async def test(server: MetricsServer) -> None:
        assert (await get(server, "/"))[0] == 404
        async with aiohttp.ClientSession() as session, session.post(f"{server.url}/metrics") as answer:
            assert answer.status == 405

    served(test, "worker")


def test_a_port_that_is_taken_is_an_error_with_a_way_out() -> None:
    async def test(server: MetricsServer) -> None:
        for host, port in (("127.0.0.1", server.port), ("256.1.1.1", 0), ("192.0.2.1", 0)):
            with pytest.raises(CannotServeMetrics, match="--metrics-port"):
                await MetricsServer("worker", host=host, port=port).start()

    served(test, "worker")


# --- the options


@click.command()
@click.option("--other", default="it")
@observed
def command(watch: Observed, other: str) -> None:
    click.echo(f"{watch} {other}")


def test_a_command_gets_what_was_said() -> None:
    said = CliRunner().invoke(command, ["--log-level", "debug", "--metrics-port", "9100", "--other", "that"])
    expected = Observed(log_level="debug", log_format="auto", metrics_port=9100, metrics_host="127.0.0.1")
    assert said.output == f"{expected} that\n"


def test_a_container_can_say_it_by_variables() -> None:
    said = CliRunner().invoke(command, env={"JETFLEET_LOG_FORMAT": "json", "JETFLEET_METRICS_HOST": "0.0.0.0"})
    assert str(Observed(log_format="json", metrics_host="0.0.0.0")) in said.output


def test_the_page_about_operations_lists_the_options() -> None:
    table = (DOCS / "operations.md").read_text().partition("<!-- options: observed -->\n")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip(" `") for cell in line.split("|")[1:4]) for line in table.splitlines() if line.startswith("| `")]
    options = [option for option in command.params if isinstance(option, click.Option) and option.name != "other"]
    assert rows == [(option.opts[0], option.envvar, str(option.default)) for option in options]


@pytest.mark.parametrize("wrong", [["--log-level", "loud"], ["--log-format", "xml"], ["--metrics-port", "70000"]])
def test_what_makes_no_sense_is_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(command, wrong).exit_code == 2


def test_without_a_port_there_is_no_server() -> None:
    async def test() -> None:
        async with Observed().serving("worker") as none:
            assert none is None
        watch = Observed(metrics_port=free_port())
        async with watch.serving("worker", [WorkerCounters()]) as server:
            assert server is not None and server.port == watch.metrics_port
            assert (await get(server, "/healthz"))[0] == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(server, "/healthz")

    run(test())
