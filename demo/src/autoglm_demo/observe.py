"""Samples of the deployment while traffic runs."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from autoglm_operator.api import names
from autoglm_operator.api.signals import (
    DESIRED_REPLICAS,
    GPU_MEMORY_UTILIZATION,
    ITL_P99,
    KV_CACHE_UTILIZATION,
    QUEUE_DEPTH,
    RUNNING_REQUESTS,
    TTFT_P99,
    Signal,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the cluster said at one moment; a figure it could not give is `None`."""

    time: float
    wanted: int
    existing: int
    ready: int
    is_ready: bool
    desired: float | None
    queue: float | None
    running: float | None
    ttft_p99: float | None
    itl_p99: float | None
    kv_cache: float | None
    gpu_memory: float | None
    decision: str

    def as_json(self) -> dict[str, Any]:
        """Return the sample as a JSON object."""
        return asdict(self)


class Observer:
    """Reads one AutoGLMDeployment and its metrics through the API server, as the HPA does."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]  # has no types
        self._objects = client.CustomObjectsApi(self._api)
        self._namespace, self._name = namespace, name

    def deployment(self) -> dict[str, Any]:
        """Return the AutoGLMDeployment."""
        document = self._objects.get_namespaced_custom_object(
            names.GROUP, names.VERSION, self._namespace, names.PLURAL, self._name
        )
        return cast("dict[str, Any]", document)

    def sample(self) -> Sample:
        """Return what the cluster says now."""
        document = self.deployment()
        status = document.get("status") or {}
        conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
        decision = (status.get("autoscaling") or {}).get("decision") or {}
        return Sample(
            time=time.time(),
            wanted=document["spec"]["replicas"],
            existing=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            is_ready=conditions.get("Ready") == "True",
            desired=self._metric(DESIRED_REPLICAS),
            queue=self._metric(QUEUE_DEPTH),
            running=self._metric(RUNNING_REQUESTS),
            ttft_p99=self._metric(TTFT_P99),
            itl_p99=self._metric(ITL_P99),
            kv_cache=self._metric(KV_CACHE_UTILIZATION),
            gpu_memory=self._metric(GPU_MEMORY_UTILIZATION),
            decision=decision.get("message", ""),
        )

    def _metric(self, signal: Signal) -> float | None:
        try:
            answer = self._objects.get_namespaced_custom_object(
                "custom.metrics.k8s.io",
                "v1beta2",
                self._namespace,
                f"{names.PLURAL}.{names.GROUP}",
                f"{self._name}/{signal.name}",
            )
        except ApiException:
            return None
        return parse_quantity(cast("dict[str, Any]", answer)["items"][0]["value"])


def parse_quantity(text: str) -> float:
    """Return the number that Kubernetes writes as `1500m` or `2`."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
