"""Probes: what the kubelet asks, whom, and how long it waits before it acts."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.decide.start.timing import Timing
from autoglm_operator.render.engines import EngineProcess

_STARTUP_PERIOD_SECONDS: Final = 2


def engine_probes(process: EngineProcess, timing: Timing) -> dict[str, Any]:
    """Return the probes of the engine container.

    It has started once it answers by itself. From then on the agent is asked, which sees what an HTTP answer does not
    show: an engine that answers and generates nothing, and a GPU that must not get requests. The agent restarts in a
    second or two; it must be away for two minutes before the kubelet takes that for a dead engine.
    """
    started = timing.startup // _STARTUP_PERIOD_SECONDS
    return {
        "startupProbe": probe(process.ready_path, "http", timeout=5, period=_STARTUP_PERIOD_SECONDS, failures=started),
        "readinessProbe": probe("/engine/readyz", names.AGENT_PORT, timeout=3, period=2, failures=3),
        "livenessProbe": probe("/engine/livez", names.AGENT_PORT, timeout=5, period=10, failures=12),
    }


def probe(path: str, port: str | int, *, timeout: int, period: int, failures: int) -> dict[str, Any]:
    """Return an HTTP probe; `timeout` and `period` in seconds."""
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "timeoutSeconds": timeout,
        "periodSeconds": period,
        "failureThreshold": failures,
    }
