"""The status document: pure."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.status import Condition
from autoglm_operator.api.types import rfc3339
from autoglm_operator.decide.health import Health, Verdict
from autoglm_operator.observe.world import Deployment

_MESSAGE_LENGTH: Final = 1024


def status_document(deployment: Deployment, health: Health, now: float) -> dict[str, Any]:
    """Return the status that the operator owns, as an object for server-side apply on `/status`."""
    served = (deployment.spec.model.served_name if deployment.spec else None) or deployment.name
    status: dict[str, Any] = {
        "observedGeneration": deployment.generation,
        "replicas": health.replicas,
        "readyReplicas": health.ready,
        "selector": names.selector_string(names.pod_selector(deployment.name)),
        "modelName": served,
        "url": f"http://{deployment.name}.{deployment.namespace}.svc:{names.ENGINE_PORT}/v1",
        "conditions": [
            condition(deployment.conditions.get(verdict.type), verdict, deployment.generation, now)
            for verdict in health.verdicts
        ],
    }
    # What was learned stays until it is learned anew: a field that is not named is removed.
    for key, learned in (
        ("fit", health.fit),
        ("coldStart", health.cold_start),
        ("weights", health.weights),
        ("actuation", health.actuation),
    ):
        value = deployment.status.get(key) if learned is None else learned
        if value:
            status[key] = value
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        # The uid makes it this object's status and not that of a successor with the same name.
        "metadata": {"name": deployment.name, "namespace": deployment.namespace, "uid": deployment.uid},
        "status": status,
    }


def condition(old: Condition | None, verdict: Verdict, generation: int, now: float) -> dict[str, Any]:
    """Return the condition that says `verdict`; its transition time moves only when its status does.

    Args:
        old: the one of this type that was written last; `None` if there was none.
        verdict: what to say.
        generation: of the spec that it is about.
        now: seconds since the epoch.
    """
    unchanged = old is not None and old.status == verdict.status
    return Condition(
        type=verdict.type,
        status=verdict.status,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and unchanged else rfc3339(now),
        reason=verdict.reason,
        message=verdict.message[:_MESSAGE_LENGTH],
    ).model_dump(by_alias=True)


def differs(document: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the live status lacks anything of `document`'s."""
    wanted: Mapping[str, Any] = document["status"]
    conditions = {item["type"]: item for item in live.get("conditions") or []}
    plain = any(live.get(key) != value for key, value in wanted.items() if key != "conditions")
    return plain or any(conditions.get(item["type"]) != item for item in wanted["conditions"])
