"""The whole desired set of one deployment, in the order it is applied."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.autoscaler import horizontal_pod_autoscaler
from autoglm_operator.render.availability import pod_disruption_budget, pod_monitor, service_account
from autoglm_operator.render.network import network_policy, service
from autoglm_operator.render.workload import workload
from autoglm_operator.settings import Images


def bundle(deployment: Deployment, plan: Plan, images: Images) -> list[dict[str, Any]]:
    """Return the children of `deployment`: what pods need first, then the pods, then what scales them."""
    children = [
        service_account(deployment),
        network_policy(deployment),
        service(deployment),
        pod_disruption_budget(deployment),
        workload(deployment, plan, images),
    ]
    if plan.spec.autoscaling is not None:
        children.append(horizontal_pod_autoscaler(deployment, plan.spec.autoscaling))
    if plan.monitored:
        children.append(pod_monitor(deployment))
    return [_stamped(child) for child in children]


def _stamped(child: dict[str, Any]) -> dict[str, Any]:
    annotations = child["metadata"].get("annotations", {})
    child["metadata"]["annotations"] = annotations | {names.ANNOTATION_HASH: content_hash(child)}
    return child
