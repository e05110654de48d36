"""Which series the variables of a dashboard select, and how they are named."""

from dataclasses import replace
from typing import Final

from autoglm_dashboards.layout import Variable
from autoglm_dashboards.promql import Metric, aggregate, first_of, quantile, rate, select
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

#: Of the series about operator and autoscaler themselves, and of all others too.
PROCESS: Final = 'cluster=~"$cluster", job=~"$job", instance=~"$instance"'
#: Of the series of engines and agents: their PodMonitor copies the pods' label autoglm.io/deployment.
ENGINE: Final = f'{PROCESS}, namespace=~"$namespace", autoglm_io_deployment=~"$deployment"'
#: Of the series about an AutoGLMDeployment.
DEPLOYMENT: Final = f'{PROCESS}, namespace=~"$namespace", name=~"$deployment"'

BY_ENGINE: Final = ("cluster", "namespace", "autoglm_io_deployment")
BY_DEPLOYMENT: Final = ("cluster", "namespace", "name")
BY_POD: Final = ("cluster", "namespace", "pod")
BY_GPU: Final = (*BY_POD, "gpu")
ENGINE_NAME: Final = "{{namespace}}/{{autoglm_io_deployment}}"
DEPLOYMENT_NAME: Final = "{{namespace}}/{{name}}"
GPU_NAME: Final = "{{pod}} GPU {{gpu}}"

_CLUSTER: Final = Variable(
    "cluster",
    "Cluster",
    f"label_values({operator.REPLICAS.name}, cluster)",
    "Where several clusters share a Prometheus and tell themselves apart by the label cluster",
    everything=".*",
)
_NAMESPACE: Final = Variable(
    "namespace",
    "Namespace",
    f'label_values({operator.REPLICAS.name}{{cluster=~"$cluster"}}, namespace)',
    "Namespaces with an AutoGLMDeployment",
)
_DEPLOYMENT: Final = Variable(
    "deployment",
    "Deployment",
    f'label_values({operator.REPLICAS.name}{{cluster=~"$cluster", namespace=~"$namespace"}}, name)',
    "AutoGLMDeployments of the namespaces",
)
_PROCESSES: Final = f'__name__=~"{operator.LEADER.name}|{autoscaler.LEADER.name}", cluster=~"$cluster"'


def _scrape(name: str, matchers: str, description: str, *, hidden: bool) -> Variable:
    return Variable(name, name.title(), f"label_values({{{matchers}}}, {name})", description, hidden=hidden)


def variables(*, processes: bool = False, one: bool = False) -> tuple[Variable, ...]:
    """Return the variables of a dashboard.

    Args:
        processes: offer the jobs and replicas of operator and autoscaler.
        one: look at one deployment at a time: lines for each pod of all of them are unreadable, and slow to get.
    """
    job = _scrape("job", _PROCESSES, "Prometheus jobs of operator and autoscaler", hidden=not processes)
    instance = _scrape(
        "instance",
        f'{_PROCESSES}, job=~"$job"',
        "Replicas of operator and autoscaler, by address",
        hidden=not processes,
    )
    return (_CLUSTER, _NAMESPACE, replace(_DEPLOYMENT, single=one), job, instance)


def latency(q: float, vllm: Metric, sglang: Metric) -> str:
    """Return the `q`-quantile of each deployment, whichever engine it runs."""
    return first_of(quantile(q, vllm, ENGINE, BY_ENGINE), quantile(q, sglang, ENGINE, BY_ENGINE))


def total(vllm: Metric, sglang: Metric) -> str:
    """Return a gauge of the engines, summed over the pods of each deployment."""
    return first_of(*(aggregate("sum", select(metric, ENGINE), BY_ENGINE) for metric in (vllm, sglang)))


def summed_rate(vllm: Metric, sglang: Metric, suffix: str = "") -> str:
    """Return the rate of a counter of the engines, summed over the pods of each deployment."""
    return first_of(*(aggregate("sum", rate(metric, ENGINE, suffix), BY_ENGINE) for metric in (vllm, sglang)))


def per_deployment(metric: Metric, more: str = "", by: tuple[str, ...] = ()) -> str:
    """Return a gauge about deployments, once for each though several replicas of a process publish it.

    Args:
        metric: from the catalogue of operator or autoscaler.
        more: further label matchers.
        by: further labels to keep.
    """
    matchers = f"{DEPLOYMENT}, {more}" if more else DEPLOYMENT
    return aggregate("max", select(metric, matchers), (*BY_DEPLOYMENT, *by))


def signal(name: str) -> str:
    """Return what the metrics API serves for each deployment, in base units."""
    return per_deployment(autoscaler.SIGNAL, f'metric="{name}"')


def on_deployment(expression: str) -> str:
    """Return the right side of an operator between series about deployments."""
    return f"on ({', '.join(BY_DEPLOYMENT)}) {expression}"


def drill(uid: str) -> str:
    """Return the address behind a table's cell: a dashboard about the deployment of its row."""
    chosen = "var-namespace=${__data.fields.Namespace}&var-deployment=${__data.fields.Deployment}"
    return f"/d/{uid}?{chosen}&${{datasource:queryparam}}&${{cluster:queryparam}}&${{__url_time_range}}"
