"""The metrics server: what a process tells of itself over HTTP.

    GET /metrics    every metric of the catalogue that this process has, for Prometheus (or OpenMetrics, if asked for)
    GET /healthz    200 while the event loop turns, 503 if it was held up for too long
    GET /readyz     200 while the process does its part, 503 with the reasons if it does not

Only reads, has no secrets and no authentication; so it listens on this machine alone unless it is told otherwise. It runs in the event loop
that it tells of: a loop that stands still does not answer, which is the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from ...schemas.errors import JetfleetError
from .backlog import Backlog
from .health import Pulse, Readiness
from .metrics import PROCESS, Exposed

SHUTDOWN_S = 1.0

log = structlog.get_logger("jetfleet.observe")


class CannotServeMetrics(JetfleetError):
    """The address cannot be listened on."""

    code = "METRICS_ADDRESS"


class MetricsServer:
    """`counters`: of the roles that this process has. `port` 0: any free one, known as `port` once it is started."""

    def __init__(
        self,
        role: str,
        counters: Sequence[object] = (),
        conditions: Mapping[str, Callable[[], str]] | None = None,
        backlog: Backlog | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.role, self.version = role, version("jetfleet")
        self.readiness = Readiness(conditions or {})
        self.pulse = Pulse()
        self.host, self.port = host, port
        self._backlog = backlog
        self._registry = CollectorRegistry()
        for subject in (*counters, *([backlog] if backlog is not None else [])):
            self._registry.register(Exposed(subject))
        self._registry.register(Exposed(self, PROCESS))
        ProcessCollector(registry=self._registry)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises CannotServeMetrics."""
        app = web.Application()
        app.add_routes([web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            raise CannotServeMetrics(f"{self._refusal(error)}; choose another --metrics-port or --metrics-host, or 0 for none") from None
        self.port = runner.addresses[0][1]
        self._runner = runner
        self.pulse.start()
        log.info("metrics are served", url=f"{self.url}/metrics")

    async def stop(self) -> None:
        await self.pulse.stop()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def _refusal(self, error: Exception) -> str:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else str(error)
        return f"cannot serve metrics on {self.host}:{self.port}: {why}"

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._backlog is not None:
            await self._backlog.refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, request: web.Request) -> web.Response:
        alive = self.pulse.alive
        return _answer(alive, {"alive": alive, "role": self.role, "version": self.version, "loop_lag_s": round(self.pulse.lag_s, 3)})

    async def _readyz(self, request: web.Request) -> web.Response:
        reasons = self.readiness.reasons()
        return _answer(not reasons, {"ready": not reasons, "reasons": reasons})


def _answer(well: bool, body: dict[str, object]) -> web.Response:
    return web.json_response(body, status=200 if well else 503, headers={"Cache-Control": "no-store"})
