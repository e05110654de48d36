"""What `/metrics` says of one benchmark, out of its judgement and status."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.decide.benchmark_health import BenchmarkHealth
from autoglm_operator.exposition import Key, Own
from autoglm_operator.metrics import Metrics
from autoglm_operator.observe.pod import seconds

_STATUSES: Final = ("True", "False", "Unknown")
_SCALES: Final = {"ms": 0.001}


def show_benchmark(metrics: Metrics, key: Key, health: BenchmarkHealth, status: Mapping[str, Any]) -> None:
    """Show one benchmark as it is now, in place of what was shown of it.

    Args:
        metrics: of this process.
        key: of the benchmark.
        health: the judgement.
        status: as it stands in the cluster.
    """
    conditions: dict[Own, float] = {
        (item.type, each): float(item.status == each) for item in health.verdicts for each in _STATUSES
    }
    metrics.benchmark_condition.replace(key, conditions)
    progress = health.progress
    metrics.benchmark_progress.replace(key, {} if progress is None else {(): progress.percent / 100})
    last = health.last or status.get("lastRun") or {}
    metrics.benchmark_result.replace(key, {(row["name"],): _base(row) for row in last.get("results") or []})
    ended = seconds(last.get("ended"))
    metrics.benchmark_ended.replace(key, {} if ended is None else {(): ended})


def _base(row: Mapping[str, Any]) -> float:
    """Return the figure of a row in its base unit; not a number where a run wrote none."""
    try:
        return float(row["value"]) * _SCALES.get(row.get("unit", ""), 1.0)
    except ValueError:
        return float("nan")
