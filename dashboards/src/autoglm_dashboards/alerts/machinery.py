"""Do operator, autoscaler and agents work?"""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_dashboards.alerts.expressions import by_deployment, one
from autoglm_dashboards.alerts.rule import Alert, Board, Group, Hold, Severity, about_deployment
from autoglm_dashboards.promql import Metric, aggregate, select
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

_HERE: Final = ("namespace",)
_DAY_SECONDS: Final = 86_400
#: Without a tick for so long, every value that the metrics API could serve is stale.
_TICK_SECONDS: Final = 60
#: How far back the last tick of an autoscaler that is gone is looked for.
_LOOK_BACK_HOURS: Final = 6
_QUEUE_SECONDS: Final = 60
_ERROR_SHARE: Final = 0.1
_FEWEST_ERRORS: Final = 5


def _metrics_api() -> str:
    """Return how long ago the last tick of any replica was, also where none of them is left."""
    seen = f"max_over_time({select(autoscaler.LAST_TICK, '')}[{_LOOK_BACK_HOURS}h])"
    return f"time() - max({seen}) > {_TICK_SECONDS} or absent({seen}) * {_LOOK_BACK_HOURS * 3600}"


def _leaders(metric: Metric) -> str:
    """Return the number of leaders where it is not one: by namespace, or 0 if there is no replica at all."""
    return f"{aggregate('sum', select(metric, ''), _HERE)} != 1 or absent({select(metric, '')}) - 1"


def _agents() -> str:
    """Return the ready replicas whose agent is not heard of."""
    ready = one(operator.REPLICAS, state="ready")
    heard = by_deployment("count", select(agent.BUILD_INFO, ""))
    return f"{ready} - ({heard} or 0 * {ready}) > 0"


def _expiry(days: int) -> str:
    loaded = f"{select(autoscaler.CERTIFICATE_EXPIRY, '')} > 0"
    left = f"{aggregate('min', loaded, _HERE)} - time()"
    return f"{left} < {days * _DAY_SECONDS}"


def _errors() -> str:
    failed = select(operator.RECONCILE_TOTAL, 'result="error"')
    every = select(operator.RECONCILE_TOTAL, "")
    errors, all_of_them = (aggregate("sum", f"rate({series}[10m])", _HERE) for series in (failed, every))
    enough = aggregate("sum", f"increase({failed}[10m])", _HERE)
    return f"{errors} / {all_of_them} > {_ERROR_SHARE:g} and {enough} >= {_FEWEST_ERRORS}"


def _late() -> str:
    """Return the age of the oldest waiting reconcile of the leader: a standby's queue waits until it leads."""
    of_leader = f"{select(operator.QUEUE_AGE, '')} and on (instance) ({select(operator.LEADER, '')} == 1)"
    return f"{aggregate('max', of_leader, _HERE)} > {_QUEUE_SECONDS}"


def _exports() -> str:
    """Return the spans, or of agents the exports, that were lost within ten minutes, by process."""
    lost = 'result=~"failed|dropped"'
    parts = (
        ("operator", select(operator.TRACE_EXPORTS, lost)),
        ("autoscaler", select(autoscaler.TRACE_EXPORTS, lost)),
        ("agent", select(agent.OTLP_FAILURES, "")),
    )
    sums = (
        f'label_replace({aggregate("sum", f"increase({series}[10m])", _HERE)}, "process", "{process}", "", "")'
        for process, series in parts
    )
    return f"({' or '.join(sums)}) > 0"


_LEADER_HOLD: Final = Hold("5m", "another replica takes the Lease within 17 s, and a roll-out within a minute")
_EXPIRY_HOLD: Final = Hold("10m", "a certificate that is being replaced is read anew within a minute")
_EXPIRY_SUMMARY: Final = "The serving certificate of the metrics API is about to expire."
_EXPIRY_TEXT: Final = (
    "The serving certificate of the metrics API in namespace {{ $labels.namespace }} expires in "
    "{{ $value | humanizeDuration }}; after that no HPA on an AutoGLMDeployment can scale."
)

GROUP: Final = Group(
    "autoglm-machinery",
    "30s",
    {},
    (
        Alert(
            "AutoGLMAgentDown",
            Severity.WARNING,
            _agents(),
            Hold("5m", "a pod is ready before it is scraped for the first time"),
            "Agents of ready replicas are not heard of.",
            about_deployment(
                "ready replicas whose agent is not heard: {{ $value }}; GPU faults and hangs of these are not seen."
            ),
            Board.GPU,
        ),
        Alert(
            "AutoGLMMetricsAPIDown",
            Severity.CRITICAL,
            _metrics_api(),
            Hold("2m", "a roll-out leaves one of the replicas running all the time"),
            "No replica of the autoscaler looks at engines: HPAs hold the replicas as they are.",
            "The last tick of any replica of the autoscaler was {{ $value | humanizeDuration }} ago.",
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMAutoscalerNoLeader",
            Severity.WARNING,
            _leaders(autoscaler.LEADER),
            _LEADER_HOLD,
            "Not exactly one replica of the autoscaler leads: nobody, or two, write status.",
            "{{ $value }} replicas of the autoscaler hold its Lease; it should be 1.",
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMOperatorNoLeader",
            Severity.CRITICAL,
            _leaders(operator.LEADER),
            _LEADER_HOLD,
            "Not exactly one replica of the operator leads: changes of AutoGLMDeployments have no effect.",
            "{{ $value }} replicas of the operator hold its Lease; it should be 1.",
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMCertificateExpiry",
            Severity.CRITICAL,
            _expiry(2),
            _EXPIRY_HOLD,
            _EXPIRY_SUMMARY,
            _EXPIRY_TEXT,
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMCertificateExpiry",
            Severity.WARNING,
            _expiry(14),
            _EXPIRY_HOLD,
            _EXPIRY_SUMMARY,
            _EXPIRY_TEXT,
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMReconcileErrors",
            Severity.WARNING,
            _errors(),
            Hold("10m", "an API server that restarts is back sooner, and failed reconciles are tried again"),
            "Many reconciles of the operator fail.",
            "{{ $value | humanizePercentage }} of the reconciles within 10m ended in an error.",
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMReconcileLate",
            Severity.WARNING,
            _late(),
            Hold("30s", "the liveness probe restarts the operator at 120 s, and this should be told before"),
            "A deployment waits too long for its reconcile.",
            "The deployment that waits longest has waited {{ $value | humanizeDuration }} for a reconcile.",
            Board.OPERATOR,
        ),
        Alert(
            "AutoGLMTraceExportsFailing",
            Severity.INFO,
            _exports(),
            Hold("15m", "a collector that restarts is back sooner, and nothing else depends on it"),
            "Telemetry is lost on its way to the collector.",
            "{{ $value | humanize }} exports of the {{ $labels.process }} in namespace {{ $labels.namespace }} were "
            "lost within 10m.",
            Board.OPERATOR,
        ),
    ),
)
