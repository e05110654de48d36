"""Every group of rules, and the files made of them."""

from typing import Any, Final

from autoglm_dashboards.alerts import baseline, machinery, scaling, serving
from autoglm_dashboards.alerts.rule import Board, Group, Rule
from autoglm_operator.render import burn_rate

GROUPS: Final = (serving.GROUP, scaling.GROUP, machinery.GROUP, baseline.GROUP)
BURN_GROUP: Final = "autoglm-objectives"
#: What objectives say where a rule is about all deployments.
PROMISES: Final = {objective.name: objective.promise for objective in burn_rate.OBJECTIVES}


def annotate(runbooks: str) -> burn_rate.Annotate:
    """Return what annotates alerts on objectives."""
    return burn_rate.Annotate(runbooks, Board.DEPLOYMENT.value)


def objectives(runbooks: str) -> list[Rule]:
    """Return the rules on the objectives of all deployments."""
    return [*burn_rate.recordings(""), *burn_rate.alerts(PROMISES, "", annotate(runbooks))]


def rules_file(runbooks: str, *, with_objectives: bool) -> dict[str, Any]:
    """Return the content of a rules file of Prometheus.

    Args:
        runbooks: URL of the folder of the runbooks.
        with_objectives: whether the rules on objectives are among them; the operator makes its own for each deployment
            where it can.
    """
    found = [_group(group, runbooks) for group in GROUPS]
    if with_objectives:
        found.insert(0, {"name": BURN_GROUP, "interval": burn_rate.INTERVAL, "rules": objectives(runbooks)})
    return {"groups": found}


def alert_names() -> list[str]:
    """Return the names of all alerts, each once, in the order of the files."""
    burning = [objective.alert for objective in burn_rate.OBJECTIVES]
    return list(dict.fromkeys([*burning, *(alert.name for group in GROUPS for alert in group.alerts)]))


def _group(group: Group, runbooks: str) -> dict[str, Any]:
    return {"name": group.name, "interval": group.interval, "rules": group.rules(runbooks)}
