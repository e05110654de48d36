"""Whom the pods of an AutoGLMBenchmark may talk to: its target, a name server, and the bucket of its reports."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from autoglm_operator.api import names
from autoglm_operator.api.types import IN_CLUSTER_PATTERN
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec, ReportBucket
from autoglm_operator.observe.benchmark import LABEL_BENCHMARK, Benchmark
from autoglm_operator.render.benchmark import benchmark_metadata

_DNS_PORT: Final = 53
_PORTS: Final = {"http": 80, "https": 443}
#: Where clouds tell machines their keys: nothing that a report is written to.
_ANYWHERE: Final = (("0.0.0.0/0", "169.254.0.0/16"), ("::/0", "fe80::/10"))
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


def benchmark_network_policy(benchmark: Benchmark, spec: BenchmarkSpec) -> dict[str, Any]:
    """Return the NetworkPolicy of a benchmark's pods: a spec can load and write to what it names, and nothing else.

    Its name has a dot, which no AutoGLMDeployment's children have.
    """
    meta = benchmark_metadata(benchmark)
    dns = {"ports": [{"port": _DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    bucket = spec.report.s3
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta | {"name": f"{benchmark.name}.benchmark"},
        "spec": {
            "podSelector": {"matchLabels": {LABEL_BENCHMARK: benchmark.name}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [dns, _target(spec), *([_to_bucket(bucket)] if bucket is not None else [])],
        },
    }


def _target(spec: BenchmarkSpec) -> dict[str, Any]:
    """Return the rule to the target: a Service's own pods are not known here, but are in the namespace."""
    if (ref := spec.target.deployment_ref) is None:
        return {"to": [{"podSelector": {}}]}
    ports = [{"port": port, "protocol": "TCP"} for port in (names.ENGINE_PORT, names.AGENT_PORT)]
    return {"to": [{"podSelector": {"matchLabels": names.pod_selector(ref.name)}}], "ports": ports}


def _to_bucket(bucket: ReportBucket) -> dict[str, Any]:
    """Return the rule to the server of a bucket, as narrow as a NetworkPolicy, which knows no host names, can be."""
    endpoint = bucket.endpoint or "https://"
    if found := re.fullmatch(IN_CLUSTER_PATTERN, endpoint):
        # On whatever port the Service's pods listen.
        return {"to": [{"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: found[1]}}}]}
    parts = urlsplit(endpoint)
    blocks = [{"ipBlock": {"cidr": cidr, "except": [but]}} for cidr, but in _ANYWHERE]
    return {"to": blocks, "ports": [{"port": parts.port or _PORTS[parts.scheme], "protocol": "TCP"}]}
