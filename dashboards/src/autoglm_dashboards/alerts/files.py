"""The generated files: rules for a Prometheus, provisioning for a Grafana, both for the chart too, and the table."""

from pathlib import Path
from typing import Any, Final

import yaml

from autoglm_dashboards.alerts import grafana
from autoglm_dashboards.alerts.groups import GROUPS, rules_file
from autoglm_dashboards.alerts.rule import Severity
from autoglm_operator.render import burn_rate
from autoglm_operator.settings import DEFAULT_RUNBOOKS

_HEADER: Final = "# Written by `make generate`; do not edit.\n"
_CHART: Final = Path("charts/autoglm-operator/files/alerts")
#: Stand in the chart's copies where it puts its values: these files are no templates, for `{{ }}` in them is for
#: Prometheus and Grafana.
RUNBOOKS_PLACE: Final = "@RUNBOOKS@"
DATASOURCE_PLACE: Final = "@DATASOURCE@"
_TABLE: Final = Path("docs/reference/alerts.md")


def outputs() -> dict[Path, str]:
    """Return the generated files by their path from the root of the repository."""
    return {
        Path("dashboards/alerts/autoglm.rules.yaml"): _yaml(rules_file(DEFAULT_RUNBOOKS, with_objectives=True)),
        Path("dashboards/alerts/grafana.yaml"): _yaml(grafana.provisioning(DEFAULT_RUNBOOKS, grafana.DATASOURCE)),
        _CHART / "rules.yaml": _yaml(rules_file(RUNBOOKS_PLACE, with_objectives=False)),
        _CHART / "grafana.yaml": _yaml(grafana.provisioning(RUNBOOKS_PLACE, DATASOURCE_PLACE)),
        _TABLE: table(),
    }


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out each time: no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Return that nothing is a reference."""
        return True


def _yaml(content: Any) -> str:
    return _HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)


def table() -> str:
    """Return the page that lists every alert."""
    rows = [
        (objective.alert, level.severity, level.hold, burn_rate.HOLD_REASON, objective.summary)
        for objective in burn_rate.OBJECTIVES
        for level in burn_rate.LEVELS
    ]
    rows += [
        (alert.name, alert.severity.value, alert.hold.time, alert.hold.reason, alert.summary)
        for group in GROUPS
        for alert in group.alerts
    ]
    lines = [
        f"| [{name}](../../dashboards/runbooks/{name}.md) | {severity} | {hold} | {reason} | {summary} |"
        for name, severity, hold, reason, summary in rows
    ]
    severities = {severity.value: sum(row[1] == severity.value for row in rows) for severity in Severity}
    counts = ", ".join(f"{number} {severity}" for severity, number in severities.items())
    return "\n".join(
        (
            "# Alerts",
            "",
            "Written by `make generate`. [Monitoring](../guides/monitoring.md) says how alerts get into a Prometheus",
            f"or a Grafana; each name leads to its runbook. Rules: {counts}.",
            "",
            "| alert | severity | for | why so long | summary |",
            "|---|---|---|---|---|",
            *lines,
            "",
        )
    )
