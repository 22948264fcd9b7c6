"""What can be seen of a process from outside: its log, its metrics, its health, its spans. Nothing here decides anything.

logs             one configuration of structlog for all processes
counters         plain integers that the hot paths count in
metrics          the catalogue: every metric with its name, and where its value comes from
backlog          what waits on the broker, asked for at a scrape
health           is it alive, is it ready, and if not why
metrics_server   /metrics, /healthz and /readyz over HTTP
traceparent      W3C trace context, and the span ids that a run derives from its id
tracing          spans of runs and attempts, where OpenTelemetry is set up
observed         the options that a command gets from all this
"""
