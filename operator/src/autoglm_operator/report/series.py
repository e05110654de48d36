"""What `/metrics` says of one deployment, out of its judgement, plan and status."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api.types import seconds
from autoglm_operator.decide.health import STALLED, Health
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.exposition import Key
from autoglm_operator.metrics import Metrics

_STATUSES: Final = ("True", "False", "Unknown")


def show(metrics: Metrics, key: Key, health: Health, plan: Plan | None, status: Mapping[str, Any]) -> None:
    """Show one deployment as it is now, in place of what was shown of it.

    Args:
        metrics: of this process.
        key: of the deployment.
        health: the judgement.
        plan: what it runs; `None` leaves that as it was shown, because the spec that is refused is not what runs.
        status: the status before this judgement.
    """
    metrics.condition.replace(
        key,
        {(item.type, each): float(item.status == each) for item in health.verdicts for each in _STATUSES},
    )
    stalled = {item.reason for item in health.verdicts if item.type == STALLED} - {Reason.NOTHING_WRONG}
    metrics.trouble.replace(key, {(reason,): 1.0 for reason in stalled})
    replicas = {"wanted": health.wanted, "existing": health.replicas, "ready": health.ready}
    metrics.replicas.replace(key, {(state,): float(count) for state, count in replicas.items()})
    learned = health.cold_start or status.get("coldStart") or {}
    stages = learned.get("stages", [])
    metrics.cold_start.replace(key, {(stage["name"],): float(stage["medianSeconds"]) for stage in stages})
    if plan is not None:
        _show_plan(metrics, key, plan)


def _show_plan(metrics: Metrics, key: Key, plan: Plan) -> None:
    spec, gpu = plan.spec, plan.spec.resources.gpu
    runs = (plan.served_name, spec.engine.type.value, plan.engine_version, gpu.product or "")
    metrics.deployment_info.replace(key, {runs: 1.0})
    metrics.gpus.set(key, gpu.count)
    scaling = spec.autoscaling
    if scaling is None:
        metrics.objective.forget(key)
        metrics.replica_bounds.forget(key)
        return
    objective = {"ttft_p99": scaling.objective.ttft_p99, "itl_p99": scaling.objective.itl_p99}
    metrics.objective.replace(key, {(name,): seconds(duration) for name, duration in objective.items()})
    bounds = {"min": scaling.min_replicas, "max": scaling.max_replicas}
    metrics.replica_bounds.replace(key, {(bound,): float(count) for bound, count in bounds.items()})
