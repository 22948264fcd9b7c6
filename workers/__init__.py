"""Running user code: own nodes, the executor that performs them, and the in-process runner.

from jetfleet.workers import Context, node, run
"""

from ..broker.run_result import RunResult
from ..schemas.errors import NodeError, Permanent, Retry
from .context import Context
from .local_run import LocalRun
from .outcome import Out
from .registry import Registry, node
from .runner import LocalRunner, run
from .virtual_clock import VirtualClock

__all__ = [
    "Context", "LocalRun", "LocalRunner", "NodeError", "Out", "Permanent", "Registry", "Retry", "RunResult", "VirtualClock", "node", "run",
]  # fmt: skip
