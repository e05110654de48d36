"""Names that more than one room uses: group, labels, ports, field managers."""

from typing import Final, NamedTuple

GROUP: Final = "autoglm.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "autoglm"


class KindNames(NamedTuple):
    """What a kind is called."""

    kind: str
    plural: str
    singular: str
    short: str


DEPLOYMENT: Final = KindNames("AutoGLMDeployment", "autoglmdeployments", "autoglmdeployment", "agd")
BENCHMARK: Final = KindNames("AutoGLMBenchmark", "autoglmbenchmarks", "autoglmbenchmark", "agb")
#: Of the deployment, which most of the code is about.
KIND: Final = DEPLOYMENT.kind
PLURAL: Final = DEPLOYMENT.plural

MANAGED_BY: Final = "autoglm-operator"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_DEPLOYMENT: Final = f"{GROUP}/deployment"
#: Whether a pod is given new requests: the Service selects `SERVING`. Taken away before a pod goes, and given back.
LABEL_SERVING: Final = f"{GROUP}/serving"
SERVING: Final = "true"
DRAINING: Final = "draining"
#: Has nothing left to finish, or has had its time: next to be removed.
DRAINED: Final = "drained"
#: What the ReplicaSet controller goes by when it removes pods: the lowest first.
ANNOTATION_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
#: Place of a pod in a replica of several nodes: the leader answers requests, the workers do not.
LABEL_ROLE: Final = f"{GROUP}/role"
ROLE_LEADER: Final = "leader"
ROLE_WORKER: Final = "worker"
ANNOTATION_HASH: Final = f"{GROUP}/desired-hash"
ANNOTATION_TEMPLATE: Final = f"{GROUP}/template-hash"
ANNOTATION_DECIDED: Final = f"{GROUP}/decided"

#: Field managers of server-side apply: one writer for each field.
OPERATOR_MANAGER: Final = "autoglm-operator"
AUTOSCALER_MANAGER: Final = "autoglm-autoscaler"

ENGINE_CONTAINER: Final = "engine"
AGENT_CONTAINER: Final = "agent"
ENGINE_PORT: Final = 8000
AGENT_PORT: Final = 9410
GPU_RESOURCE: Final = "nvidia.com/gpu"

#: A Deployment adds "-<10 character hash>-<5 character suffix>" to make pod names, which are DNS labels of at
#: most 63 characters; the rest of the room is kept for children with a suffix of their own.
MAX_NAME_LENGTH: Final = 40


def pod_selector(deployment: str) -> dict[str, str]:
    """Return the labels that select the engine pods of `deployment`; both are immutable for its life."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_DEPLOYMENT: deployment}


def selector_string(labels: dict[str, str]) -> str:
    """Return `labels` in the form the API takes: `a=b,c=d`, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
