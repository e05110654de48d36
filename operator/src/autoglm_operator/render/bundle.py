"""The whole desired set of one deployment, in the order it is applied."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.decide.allocated import Method, kept_claims
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.scaling.actuation import Path
from autoglm_operator.decide.start.warmstart import Pods
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.alerts import prometheus_rule
from autoglm_operator.render.autoscaler import horizontal_pod_autoscaler
from autoglm_operator.render.availability import pod_disruption_budget, pod_monitor, service_account
from autoglm_operator.render.claims import resource_claim_template
from autoglm_operator.render.keda import scaled_object
from autoglm_operator.render.network import network_policy, service
from autoglm_operator.render.probe_job import probe_job
from autoglm_operator.render.warmstart import warm_children
from autoglm_operator.render.workload import group_workload, template_hash, workload
from autoglm_operator.settings import Images


def bundle(deployment: Deployment, plan: Plan, images: Images) -> list[dict[str, Any]]:
    """Return the children of `deployment`: what pods need first, then the pods, then what scales them."""
    if plan.probe.pending:
        return [stamped(child) for child in (service_account(deployment), probe_job(deployment, plan, images))]
    make = group_workload if plan.grouped else workload
    pods = make(deployment, plan, images)
    children = [
        service_account(deployment),
        network_policy(deployment, plan),
        service(deployment, plan),
        pod_disruption_budget(deployment),
        *_claims(deployment, plan, template_hash(pods)),
        *warm_children(deployment, plan, plan.warm, images),
    ]
    if plan.warm.pods is not Pods.KEEP:
        children.append(pods)
    children += _scalers(deployment, plan, images)
    if plan.monitored:
        children.append(pod_monitor(deployment, images.pod_monitor_labels))
    if plan.alerted and images.alerts is not None:
        children.append(prometheus_rule(deployment, plan, images.alerts))
    return [stamped(child) for child in children]


def _scalers(deployment: Deployment, plan: Plan, images: Images) -> list[dict[str, Any]]:
    autoscaling = plan.spec.autoscaling
    if autoscaling is not None and plan.actuation.path is Path.HPA:
        return [horizontal_pod_autoscaler(deployment, autoscaling)]
    if autoscaling is not None and plan.actuation.path is Path.KEDA:
        return [scaled_object(deployment, autoscaling, images.scaling.prometheus)]
    return []


def _claims(deployment: Deployment, plan: Plan, newest: str) -> list[dict[str, Any]]:
    """Return the templates of the pods' GPU claims: the wanted one, and those of pods that are being replaced."""
    wanted = []
    if plan.allocation.method is Method.DYNAMIC_RESOURCE_ALLOCATION:
        wanted = [resource_claim_template(deployment, plan.allocation)]
    name = wanted[0]["metadata"]["name"] if wanted else ""
    replacing = any(pod.template != newest for pod in plan.pods)
    return [*wanted, *kept_claims(plan.claims, name, replacing=replacing)]


def stamped(child: dict[str, Any]) -> dict[str, Any]:
    """Write the hash of `child` on it; a child taken over from the cluster bears one already, which does not count."""
    given = child["metadata"].get("annotations", {})
    annotations = {key: text for key, text in given.items() if key != names.ANNOTATION_HASH}
    child["metadata"]["annotations"] = annotations
    return child | {
        "metadata": child["metadata"] | {"annotations": annotations | {names.ANNOTATION_HASH: content_hash(child)}}
    }
