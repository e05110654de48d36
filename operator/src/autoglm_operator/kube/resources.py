"""Paths of the kinds that are read or written."""

from typing import Final, NamedTuple

from autoglm_operator.api import names


class Resource(NamedTuple):
    """One kind: where it lives in the API."""

    api_version: str
    kind: str
    plural: str


_RESOURCES: Final = (
    Resource(names.API_VERSION, names.KIND, names.PLURAL),
    Resource(names.API_VERSION, names.BENCHMARK.kind, names.BENCHMARK.plural),
    Resource("v1", "Namespace", "namespaces"),
    Resource("v1", "Node", "nodes"),
    Resource("v1", "Pod", "pods"),
    Resource("v1", "Service", "services"),
    Resource("v1", "ServiceAccount", "serviceaccounts"),
    Resource("v1", "ConfigMap", "configmaps"),
    Resource("v1", "ResourceQuota", "resourcequotas"),
    Resource("events.k8s.io/v1", "Event", "events"),
    Resource("apps/v1", "Deployment", "deployments"),
    Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Resource("apps/v1", "DaemonSet", "daemonsets"),
    Resource("batch/v1", "Job", "jobs"),
    Resource("batch/v1", "CronJob", "cronjobs"),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Resource("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
    Resource("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
    Resource("resource.k8s.io/v1", "DeviceClass", "deviceclasses"),
    Resource("resource.k8s.io/v1", "ResourceSlice", "resourceslices"),
    Resource("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates"),
    Resource("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets"),
    Resource("keda.sh/v1alpha1", "ScaledObject", "scaledobjects"),
    Resource("apiregistration.k8s.io/v1", "APIService", "apiservices"),
    Resource("coordination.k8s.io/v1", "Lease", "leases"),
    Resource("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews"),
)
_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in _RESOURCES}


def path(
    api_version: str, kind: str, namespace: str | None = None, name: str | None = None, subresource: str = ""
) -> str:
    """Return the URL path of a collection, object or subresource.

    Raises:
        KeyError: the kind is not in the table above.
    """
    resource = _BY_KIND[(api_version, kind)]
    parts = ["/apis" if "/" in api_version else "/api", api_version]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    parts += [part for part in (name, subresource) if part]
    return "/".join(parts)
