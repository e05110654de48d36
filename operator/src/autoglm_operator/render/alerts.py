"""PrometheusRule: alerts on the objectives of one deployment, with what the objectives say in their text."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render import burn_rate
from autoglm_operator.render.meta import metadata
from autoglm_operator.settings import Alerts
from autoglm_operator.slo_metrics import AVAILABILITY, ITL, TTFT

KIND: Final = "PrometheusRule"
#: uid of the dashboard about deployments.
DASHBOARD: Final = "autoglm-deployment"


def promises(spec: Spec) -> dict[str, str]:
    """Return what each objective of a deployment says, with its number; that requests succeed is always one."""
    said = {AVAILABILITY: _promise(AVAILABILITY)}
    if spec.autoscaling is not None:
        limits = {TTFT: spec.autoscaling.objective.ttft_p99, ITL: spec.autoscaling.objective.itl_p99}
        said |= {name: f"{_promise(name)} of {limit}" for name, limit in limits.items() if limit}
    return said


def _promise(name: str) -> str:
    return next(objective.promise for objective in burn_rate.OBJECTIVES if objective.name == name)


def prometheus_rule(deployment: Deployment, plan: Plan, alerts: Alerts) -> dict[str, Any]:
    """Return the rules on the objectives of `deployment`, in a group of their own."""
    matchers = f'namespace="{deployment.namespace}", name="{deployment.name}"'
    annotate = burn_rate.Annotate(alerts.runbooks, DASHBOARD)
    rules = [*burn_rate.recordings(matchers), *burn_rate.alerts(promises(plan.spec), matchers, annotate)]
    meta = metadata(deployment)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": KIND,
        # What selects rules must not take the labels away by which the operator finds its children again.
        "metadata": meta | {"labels": {**alerts.labels, **meta["labels"]}},
        "spec": {
            "groups": [
                {
                    "name": f"{names.GROUP}/{deployment.namespace}/{deployment.name}",
                    "interval": burn_rate.INTERVAL,
                    "rules": rules,
                }
            ]
        },
    }
