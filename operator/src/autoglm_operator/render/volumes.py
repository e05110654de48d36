"""Volumes of the engine pod: the model, its adapters, caches and shared memory."""

from typing import Any

from autoglm_operator.api.v1alpha1 import LoraAdapter, PvcSource
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines.common import ADAPTERS_PATH, CACHE_PATH, MODEL_VOLUME_PATH, EngineProcess
from autoglm_operator.render.warmstart import warm_mounts, warm_volumes


def volumes(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    """Return the volumes of the pod."""
    found: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in ("cache", "tmp")]
    found.append({"name": "agent", "emptyDir": {"sizeLimit": "64Mi"}})
    if process.shared_memory:
        found.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": process.shared_memory}})
    source = plan.spec.model.source
    if source.pvc:
        found.append({"name": "model", "persistentVolumeClaim": _claim(source.pvc)})
    if source.oci_image:
        image = {"reference": source.oci_image.reference, "pullPolicy": source.oci_image.pull_policy.value}
        found.append({"name": "model", "image": image})
    for index, (_, claim) in enumerate(_adapter_claims(plan)):
        found.append({"name": f"adapter-{index}", "persistentVolumeClaim": _claim(claim)})
    return found + warm_volumes(plan.warm)


def mounts(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    """Return where the engine finds them."""
    found: list[dict[str, Any]] = [
        {"name": "cache", "mountPath": CACHE_PATH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the container's own
    ]
    if process.shared_memory:
        found.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  # where engines put it
    source = plan.spec.model.source
    if source.pvc or source.oci_image:
        found.append({"name": "model", "mountPath": MODEL_VOLUME_PATH, "readOnly": True})
    for index, (adapter, claim) in enumerate(_adapter_claims(plan)):
        mount = {"name": f"adapter-{index}", "mountPath": f"{ADAPTERS_PATH}/{adapter.name}", "readOnly": True}
        found.append(mount | ({"subPath": claim.path} if claim.path else {}))
    return found + warm_mounts(plan.warm)


def _claim(source: PvcSource) -> dict[str, Any]:
    return {"claimName": source.claim_name, "readOnly": True}


def _adapter_claims(plan: Plan) -> list[tuple[LoraAdapter, PvcSource]]:
    lora = plan.spec.engine.lora
    return [(adapter, adapter.source.pvc) for adapter in lora.adapters if adapter.source.pvc] if lora else []
