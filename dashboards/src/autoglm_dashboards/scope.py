"""Which series the variables of a dashboard select, and how they are named."""

from typing import Final

from autoglm_dashboards.layout import Variable
from autoglm_dashboards.promql import Metric, aggregate, first_of, quantile, select
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

#: Of the series of engines and agents: their PodMonitor copies the pods' label autoglm.io/deployment.
ENGINE: Final = 'namespace=~"$namespace", autoglm_io_deployment=~"$deployment"'
#: Of the series about an AutoGLMDeployment.
DEPLOYMENT: Final = 'namespace=~"$namespace", name=~"$deployment"'
#: Of the series about operator and autoscaler themselves.
PROCESS: Final = 'job=~"$job"'

BY_ENGINE: Final = ("namespace", "autoglm_io_deployment")
BY_DEPLOYMENT: Final = ("namespace", "name")
BY_POD: Final = ("namespace", "pod")
ENGINE_NAME: Final = "{{namespace}}/{{autoglm_io_deployment}}"
DEPLOYMENT_NAME: Final = "{{namespace}}/{{name}}"

VARIABLES: Final = (
    Variable(
        "namespace",
        "Namespace",
        f"label_values({operator.REPLICAS.name}, namespace)",
        "Namespaces with an AutoGLMDeployment",
    ),
    Variable(
        "deployment",
        "Deployment",
        f'label_values({operator.REPLICAS.name}{{namespace=~"$namespace"}}, name)',
        "AutoGLMDeployments of the namespaces",
    ),
    Variable(
        "job",
        "Operator job",
        f'label_values({{__name__=~"{operator.LEADER.name}|{autoscaler.LEADER.name}"}}, job)',
        "Prometheus jobs of operator and autoscaler",
    ),
)


def latency(q: float, vllm: Metric, sglang: Metric) -> str:
    """Return the `q`-quantile of each deployment, whichever engine it runs."""
    return first_of(quantile(q, vllm, ENGINE, BY_ENGINE), quantile(q, sglang, ENGINE, BY_ENGINE))


def total(vllm: Metric, sglang: Metric) -> str:
    """Return a gauge of the engines, summed over the pods of each deployment."""
    return first_of(*(aggregate("sum", select(metric, ENGINE), BY_ENGINE) for metric in (vllm, sglang)))
