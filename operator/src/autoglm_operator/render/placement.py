"""Which nodes the engine pods may run on."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import TopologySpread
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.claims import node_affinity


def placement(deployment: Deployment, plan: Plan) -> dict[str, Any]:
    """Return the fields of the pod spec that choose its node."""
    spec, scheduling = plan.spec, plan.spec.scheduling
    fields: dict[str, Any] = {}
    selector = dict(scheduling.node_selector or {})
    selector |= plan.allocation.node_selector
    if selector:
        fields["nodeSelector"] = selector
    tolerations = [item.model_dump(by_alias=True, exclude_none=True) for item in scheduling.tolerations]
    if spec.resources.gpu.count:
        # Nodes with GPUs are commonly tainted so that other pods stay away.
        tolerations.insert(0, {"key": names.GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"})
    if tolerations:
        fields["tolerations"] = tolerations
    if affinity := node_affinity(scheduling.affinity, plan.allocation.requirements):
        fields["affinity"] = affinity
    if scheduling.topology_spread:
        fields["topologySpreadConstraints"] = [_spread(deployment, item) for item in scheduling.topology_spread]
    if scheduling.priority_class_name:
        fields["priorityClassName"] = scheduling.priority_class_name
    if scheduling.runtime_class_name:
        fields["runtimeClassName"] = scheduling.runtime_class_name
    return fields


def _spread(deployment: Deployment, constraint: TopologySpread) -> dict[str, Any]:
    return {
        "maxSkew": constraint.max_skew,
        "topologyKey": constraint.topology_key,
        "whenUnsatisfiable": constraint.when_unsatisfiable,
        "labelSelector": {"matchLabels": names.pod_selector(deployment.name)},
        # Only pods of the same template count: during a rollout the old ones are on their way out.
        "matchLabelKeys": ["pod-template-hash"],
    }
