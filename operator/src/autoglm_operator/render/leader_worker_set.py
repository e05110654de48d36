"""LeaderWorkerSet: replicas that lie on several nodes, each a group of pods that live and die together."""

from collections.abc import Iterable
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.v1alpha1 import EngineType, RolloutStrategy
from autoglm_operator.decide.parallel import GROUP_KIND
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.start.timing import EXIT_SECONDS
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import labels, metadata, pod_labels, workload_annotations

Document = dict[str, Any]

GROUP_API: Final = "leaderworkerset.x-k8s.io/v1"
#: Versions that do not know it ignore it: a pod that restarts while another one still waits for a node does not cost
#: the group the places it has. https://github.com/kubernetes-sigs/lws, api/leaderworkerset/v1.
_RESTART_AFTER_START: Final = "leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start"
#: The revision that LeaderWorkerSet labels pods with, as a Deployment does with the hash of their template.
_REVISION_LABEL: Final = "leaderworkerset.sigs.k8s.io/template-revision-hash"
#: Name of the pod network's interface in each pod: containerd and CRI-O call it so.
_POD_INTERFACE: Final = "eth0"
_HTTP_PORT: Final = "http"
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")


def leader_worker_set(deployment: Deployment, plan: Plan, leader: Document, worker: Document) -> Document:
    """Return the LeaderWorkerSet of the replicas.

    It bears the deployment's name, and its groups have a headless Service each (`NAME-0`): with one Service for all
    groups that would need the name of the Service in front of the engines.

    Args:
        deployment: the owner.
        plan: what to run.
        leader: pod spec of the pod that answers requests.
        worker: pod spec of the others.
    """
    engine = plan.spec.engine.type
    templates = {
        names.ROLE_LEADER: _in_group(_spread_by_revision(leader), engine),
        names.ROLE_WORKER: _in_group(_worker(worker, leader), engine),
    }
    # One hash for both: a group runs one spec.
    stamp = content_hash(templates)
    meta = metadata(deployment)
    annotations = {**workload_annotations(plan), _RESTART_AFTER_START: "true"}
    return {
        "apiVersion": GROUP_API,
        "kind": GROUP_KIND,
        "metadata": meta | {"annotations": annotations},
        "spec": {
            "replicas": plan.running,
            # The leader becomes ready only once all workers have joined: it cannot be waited for.
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
            "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": _rollout(plan, stamp)},
            "leaderWorkerTemplate": {
                "size": plan.spec.resources.parallelism.nodes,
                # Ranks that lost one of them hang until a timeout, and none can join again.
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": _template(deployment, names.ROLE_LEADER, templates, stamp),
                "workerTemplate": _template(deployment, names.ROLE_WORKER, templates, stamp),
            },
        },
    }


def leader_selector(deployment: str) -> dict[str, str]:
    """Return the labels that select the pods that answer requests, of a deployment with several nodes a replica."""
    return {**names.pod_selector(deployment), names.LABEL_ROLE: names.ROLE_LEADER}


def _template(deployment: Deployment, role: str, templates: dict[str, Document], stamp: str) -> Document:
    own = pod_labels if role == names.ROLE_LEADER else labels
    return {
        "metadata": {
            "labels": {**own(deployment.name), names.LABEL_ROLE: role},
            "annotations": {names.ANNOTATION_TEMPLATE: stamp},
        },
        "spec": templates[role],
    }


def _rollout(plan: Plan, stamp: str) -> Document:
    if plan.spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"maxSurge": 0, "maxUnavailable": "100%"}
    rollout = plan.rollout(stamp)
    return {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable}


def _worker(pod: Document, leader: Document) -> Document:
    """Return the pod spec of a worker: it serves no HTTP, so nothing asks it, and it stays while the leader drains."""
    grace = leader["terminationGracePeriodSeconds"]
    kept = {key: value for key, value in pod.items() if key != "topologySpreadConstraints"}
    return {
        **kept,
        "terminationGracePeriodSeconds": grace + EXIT_SECONDS,
        "containers": [_quiet(container, grace) for container in pod["containers"]],
    }


def _quiet(container: Document, grace: int) -> Document:
    """Return the engine without probes and HTTP port; other containers as they are."""
    if container["name"] != names.ENGINE_CONTAINER:
        return container
    kept = {key: value for key, value in container.items() if key not in _PROBES}
    ports = [port for port in kept.pop("ports", []) if port.get("name") != _HTTP_PORT]
    # When a worker's node is drained the whole group is taken down at once, and the leader's requests need the worker.
    kept["lifecycle"] = {"preStop": {"sleep": {"seconds": grace}}}
    return kept | ({"ports": ports} if ports else {})


def _spread_by_revision(pod: Document) -> Document:
    """Return the leader's pod spec with its spreading told apart by LeaderWorkerSet's label of the revision."""
    spreads = pod.get("topologySpreadConstraints")
    if not spreads:
        return pod
    return {**pod, "topologySpreadConstraints": [_leaders_only(spread) for spread in spreads]}


def _leaders_only(spread: Document) -> Document:
    wanted = {**spread["labelSelector"]["matchLabels"], names.LABEL_ROLE: names.ROLE_LEADER}
    return {**spread, "labelSelector": {"matchLabels": wanted}, "matchLabelKeys": [_REVISION_LABEL]}


def _in_group(pod: Document, engine: EngineType) -> Document:
    return {**pod, "containers": [_networked(container, engine) for container in pod["containers"]]}


def _networked(container: Document, engine: EngineType) -> Document:
    if container["name"] != names.ENGINE_CONTAINER:
        return container
    given = container.get("env") or []
    named = {variable["name"] for variable in given}
    added = [variable for variable in group_environment(engine) if variable["name"] not in named]
    return {**container, "env": [*given, *added]}


def group_environment(engine: EngineType) -> Iterable[Document]:
    """Return how the ranks find each other; a user's own variables come first.

    NCCL and Gloo would take any interface but the loopback, also one of a second network that other nodes do not
    reach under this name; they meet over the pod network. Whether NCCL then moves data by InfiniBand or RoCE is left to
    it: it looks for devices in the container and falls back to sockets, so NCCL_IB_DISABLE is the user's to set.

    Source: https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html (NCCL_SOCKET_IFNAME, "=" is an exact
    name); VLLM_HOST_IP: https://docs.vllm.ai/en/latest/configuration/env_vars.html.
    """
    yield {"name": "NCCL_SOCKET_IFNAME", "value": f"={_POD_INTERFACE}"}
    yield {"name": "GLOO_SOCKET_IFNAME", "value": _POD_INTERFACE}
    if engine is EngineType.VLLM:
        yield {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}
