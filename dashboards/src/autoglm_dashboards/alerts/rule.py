"""What an alert, a recording and a group of them are, and how they read as rules of Prometheus."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Rule = dict[str, Any]


class Severity(StrEnum):
    """Who has to know: somebody now, somebody in the morning, or whoever looks."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a condition has to last before its alert fires.

    Attributes:
        time: `for` of the rule.
        reason: why so long and no longer; the end of a sentence.
    """

    time: str
    reason: str


class Board(StrEnum):
    """Dashboards that alerts lead to, by uid."""

    DEPLOYMENT = "autoglm-deployment"
    GPU = "autoglm-gpu"
    AUTOSCALING = "autoglm-autoscaling"
    OPERATOR = "autoglm-operator"

    def link(self) -> str:
        """Return the path of the dashboard in a Grafana, set to what the alert is about."""
        if self is Board.OPERATOR:
            return f"/d/{self.value}"
        return f"/d/{self.value}?var-namespace={{{{ $labels.namespace }}}}&var-deployment={{{{ $labels.name }}}}"


def about_deployment(text: str) -> str:
    """Return the description of an alert about one deployment."""
    return "AutoGLMDeployment {{ $labels.namespace }}/{{ $labels.name }}: " + text


def about_pod(text: str) -> str:
    """Return the description of an alert about one pod of a deployment."""
    return about_deployment("pod {{ $labels.pod }}: " + text)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: of the alert, and of its runbook.
        severity: of this rule; several rules may share a name and differ in this.
        expr: has a series for each thing to tell of.
        hold: how long it must last.
        summary: one constant line.
        description: what is the matter, with its numbers.
        board: where to look.
    """

    name: str
    severity: Severity
    expr: str
    hold: Hold
    summary: str
    description: str
    board: Board

    def rule(self, runbooks: str) -> Rule:
        """Return the rule for Prometheus; `runbooks` is the URL of their folder."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold.time,
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{self.name}.md",
                "dashboard": self.board.link(),
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after the other.

    Attributes:
        name: of the group.
        interval: between two evaluations.
        records: recording rules: expression by the name of the series.
        alerts: after them.
    """

    name: str
    interval: str
    records: Mapping[str, str]
    alerts: tuple[Alert, ...]

    def rules(self, runbooks: str) -> list[Rule]:
        """Return the rules for Prometheus."""
        recorded: list[Rule] = [{"record": name, "expr": expr} for name, expr in self.records.items()]
        return recorded + [alert.rule(runbooks) for alert in self.alerts]
