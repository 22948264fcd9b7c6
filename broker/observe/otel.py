"""OpenTelemetry as the environment says: which tracer, if any, a process writes its spans with.

    an SDK tracer provider is set up already        that one (by `opentelemetry-instrument`, or the program around us)
    OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_…)     one that sends to this endpoint
    neither, OTEL_SDK_DISABLED, or =none            none

Everything else (sampler, headers, limits, resource) is said by OpenTelemetry's own variables. What is missing or wrong is logged, and
nothing is traced: a fleet does not stand still for its telemetry. The SDK and exporters are imported only where they are needed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from importlib import import_module
from threading import Thread
from typing import Any

import structlog
from opentelemetry import trace

from .tracing import OFF, Tracing

SCOPE = "jetfleet"
FLUSH_S = 3.0
"""How long the end of a process may wait for a collector that does not answer."""
_EXPORTERS = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "pip install 'jetfleet[otel]'"),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "pip install opentelemetry-exporter-otlp-proto-grpc"),
}

log = structlog.get_logger("jetfleet.observe")


class Telemetry:
    """`tracing` is what to trace with. `close` sends what is left."""

    def __init__(self, tracing: Tracing = OFF, provider: Any = None) -> None:
        """`provider`: one that was made here, and so is ended here."""
        self.tracing = tracing
        self._provider = provider

    async def close(self) -> None:
        if self._provider is None:
            return
        # The SDK tries for longer than a service manager waits, and its thread must not keep the process from ending.
        ending = Thread(target=self._provider.shutdown, name="otel shutdown", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, FLUSH_S)


def set_up(role: str, environ: Mapping[str, str] = os.environ) -> Telemetry:
    """What the environment asks for. Never raises."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Telemetry()
    configured = trace.get_tracer_provider()
    if not isinstance(configured, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return Telemetry(_tracing(configured))
    if not _wants_otlp(environ):
        return Telemetry()
    provider = _provider(role, environ)
    if provider is None:
        return Telemetry()
    trace.set_tracer_provider(provider)  # so that what node code traces goes the same way
    return Telemetry(_tracing(provider), provider)


def _wants_otlp(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "otlp":
        return False
    return bool(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def _tracing(provider: Any) -> Tracing:
    try:
        return Tracing(provider.get_tracer(SCOPE))
    except TypeError as error:
        log.warning("nothing is traced", reason=str(error))
        return OFF


def _provider(role: str, environ: Mapping[str, str]) -> Any:
    """A provider that sends in the background; None if that cannot be."""
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol not in _EXPORTERS:
        log.warning("nothing is traced", reason=f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; it may be {' or '.join(_EXPORTERS)}")
        return None
    module, remedy = _EXPORTERS[protocol]
    try:
        sdk, export, resources = (import_module(f"opentelemetry.sdk.{name}") for name in ("trace", "trace.export", "resources"))
        exporter = import_module(module).OTLPSpanExporter()
    except ImportError as error:
        log.warning("nothing is traced", reason=f"{error.name} is not installed", next=remedy)
        return None
    except Exception as error:  # what the variables say is checked by the exporter
        log.warning("nothing is traced", reason=f"the exporter cannot be made: {error}")
        return None
    provider = sdk.TracerProvider(resource=resources.Resource.create(_service(role, environ)), shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return provider


def _service(role: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The name that the environment gives, else one by role."""
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if named else {"service.name": f"jetfleet-{role}"}
