"""What no demo without a GPU makes its programs say, written from their catalogues: names, types and labels are theirs.

Each entry says what it takes. A metric that is not listed here and not scraped is a finding.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from autoglm_agent import metrics as agent
from autoglm_demo.settings import NAMESPACE
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

_GPU: Final = "a GPU with a fault"
_LINK: Final = "a GPU that counts what goes over PCIe or NVLink"
_COLLECTOR: Final = "a collector for traces"
_BENCHMARK: Final = "an AutoGLMBenchmark"

#: Metric → what must be there for it to have a series.
NEEDS: Final[Mapping[str, str]] = {
    "autoglm_gpu_fault": _GPU,
    "autoglm_gpu_xid_errors_total": _GPU,
    "autoglm_gpu_pcie_sent_bytes_per_second": _LINK,
    "autoglm_gpu_pcie_received_bytes_per_second": _LINK,
    "autoglm_gpu_nvlink_sent_bytes_per_second": _LINK,
    "autoglm_gpu_nvlink_received_bytes_per_second": _LINK,
    "autoglm_deviation_ratio": "an engine that strays from its own usual figures",
    "autoglm_engine_weights_bytes": "an engine that tells the size of its weights, which the simulator does not",
    "autoglm_agent_read_errors_total": "a GPU that does not answer",
    "autoglm_agent_otlp_failures_total": _COLLECTOR,
    "autoglm_operator_trace_exports_total": _COLLECTOR,
    "autoglm_autoscaler_trace_exports_total": _COLLECTOR,
    "autoglm_operator_deployment_trouble": "a deployment of which replicas cannot run",
    "autoglm_operator_benchmark_progress_ratio": _BENCHMARK,
    "autoglm_operator_benchmark_result": _BENCHMARK,
    "autoglm_autoscaler_scrapes_total": "an engine that does not answer a scrape, for results other than ok",
    "autoglm_autoscaler_forecast_requests_per_second": "traffic with a pattern of hours",
}


#: Values of labels whose catalogue entry has no list of them, as dashboards select them.
OPEN: Final = {"quantity": ("ttft_p99", "itl_p99", "throughput", "limit")}

_DEVICE: Final = (
    'gpu="0",UUID="GPU-0",pci_bus_id="00000000:01:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",'
    'Hostname="node",DCGM_FI_DRIVER_VERSION="580.65"'
)
_JOB: Final = f'namespace="{NAMESPACE}",job_name="nightly"'
#: What exporters expose that the demo does not run; names and labels as dcgm-exporter 4.5.3 (its default names) and
#: kube-state-metrics 2.17 document them.
EXPORTERS: Final = {
    "dcgm-exporter": f"""# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{{{_DEVICE}}} 61440
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{{_DEVICE}}} 412.5
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{{{_DEVICE}}} 0
# TYPE DCGM_FI_PROF_SM_ACTIVE gauge
DCGM_FI_PROF_SM_ACTIVE{{{_DEVICE}}} 0.61
# TYPE DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gauge
DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{_DEVICE}}} 0.22
# TYPE DCGM_FI_PROF_DRAM_ACTIVE gauge
DCGM_FI_PROF_DRAM_ACTIVE{{{_DEVICE}}} 0.55
""",
    "kube-state-metrics": f"""# TYPE kube_pod_status_phase gauge
kube_pod_status_phase{{namespace="{NAMESPACE}",pod="autoglm-phone-0",uid="u0",phase="Pending"}} 0
kube_pod_status_phase{{namespace="{NAMESPACE}",pod="autoglm-phone-0",uid="u0",phase="Running"}} 1
kube_pod_status_phase{{namespace="{NAMESPACE}",pod="recorded-0",uid="u1",phase="Pending"}} 1
# TYPE kube_job_status_active gauge
kube_job_status_active{{{_JOB}}} 1
# TYPE kube_job_owner gauge
kube_job_owner{{{_JOB},owner_kind="AutoGLMBenchmark",owner_name="nightly",owner_is_controller="true"}} 1
""",
}
#: Newer names of the same, which a query has as its second choice.
RENAMED: Final = frozenset({
    "DCGM_FI_DEV_BOARD_POWER_WATTS",
    "DCGM_FI_DEV_FB_USED_BYTES",
    "DCGM_FI_DEV_XID_ERROR",
    "DCGM_FI_PROF_DRAM_UTIL_RATIO",
    "DCGM_FI_PROF_SM_UTIL_RATIO",
    "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
})  # fmt: skip


def expositions(owner: str) -> tuple[str, str]:
    """Return the two moments of a recording of every listed metric, about the deployment `owner`."""
    return tuple("".join(_families(owner, value)) for value in (1.0, 301.0))


def _families(owner: str, value: float) -> Iterator[str]:
    for metric in (*operator.CATALOGUE, *autoscaler.CATALOGUE, *agent.CATALOGUE):
        if metric.name in NEEDS:
            kind = "gauge" if metric.type == "info" else metric.type
            yield f"# TYPE {metric.name} {kind}\n"
            for values in product(*(_values(label, owner) for label in metric.labels)):
                pairs = zip(metric.labels, values, strict=True)
                shown = ",".join(f'{label.name}="{text}"' for label, text in pairs)
                yield f"{metric.name}{{{shown}}} {value if metric.type == 'counter' else 1.0}\n"


def _values(label: Any, owner: str) -> tuple[str, ...]:
    if label.name in {"namespace", "name"}:
        return (NAMESPACE if label.name == "namespace" else owner,)
    return label.bound if isinstance(label.bound, tuple) else OPEN.get(label.name, ("0",))
