"""The Job that asks an image for the version of its engine."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.probe import PROBE_CONTAINER
from autoglm_operator.observe.fetch import LABEL_FETCH
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import CONTAINER_SECURITY, POD_SECURITY, metadata
from autoglm_operator.settings import Images

#: Pulling an image of 20 GB takes its time.
_DEADLINE_SECONDS: Final = 3600
#: What the engine's Python package is called.
_PACKAGES: Final[Mapping[EngineType, str]] = {EngineType.VLLM: "vllm", EngineType.SGLANG: "sglang"}
#: Reads the metadata alone: importing the engine would want a GPU.
_SCRIPT: Final = (
    "import importlib.metadata, pathlib, sys; "
    'pathlib.Path("/dev/termination-log").write_text(importlib.metadata.version(sys.argv[1]))'
)


def probe_job(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the Job: it runs the image without a GPU, and its last word is the version."""
    container = {
        "name": PROBE_CONTAINER,
        "image": plan.image,
        "imagePullPolicy": images.pull_policy,
        "command": ["python3", "-c", _SCRIPT, _PACKAGES[plan.spec.engine.type]],
        # Images of engines ask for all GPUs; where NVIDIA's runtime is the default one they would get them.
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    labels = {
        "app.kubernetes.io/name": "autoglm",
        "app.kubernetes.io/component": "probe",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        # As those of downloads: no selector of engine pods matches.
        LABEL_FETCH: deployment.name,
    }
    pod = {
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "restartPolicy": "Never",
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(deployment) | {"name": plan.probe.job},
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
