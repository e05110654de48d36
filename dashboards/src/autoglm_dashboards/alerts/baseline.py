"""What is usual at this hour, and alerts on what is not: a seasonal band beside the fixed thresholds.

The usual value is the mean of the same hour some days and weeks ago, the band three standard deviations around it. With
fewer past hours than four there is no band and no alert: a deployment is judged from its second week on, when the same
day of the week is among them.
"""

from typing import Final

from autoglm_dashboards.alerts.expressions import BY, before_now, matchers
from autoglm_dashboards.alerts.rule import Alert, Board, Group, Hold, Severity, about_deployment
from autoglm_dashboards.promql import aggregate, select
from autoglm_operator.api.signals import TTFT_P99
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.slo_metrics import AVAILABILITY

#: Days ago that are looked at.
_DAYS: Final = (1, 2, 3, 7, 14, 21)
_FEWEST: Final = 4
#: Two intervals of the group: one evaluation may have been late.
_WITHIN: Final = "10m"
_DEVIATIONS: Final = 3
#: Traffic that is very regular has a narrow band: what is off by less than this share is no news.
_LEAST_SHARE: Final = 0.5
#: Requests each second that are no news either.
_LEAST_RATE: Final = 0.1
#: Time to first token that nobody complains about.
_LEAST_SECONDS: Final = 0.2

_RATE: Final = "autoglm:requests:rate1h"
_TTFT: Final = "autoglm:ttft_p99:mean1h"

_REQUESTS: Final = select(autoscaler.SLO_REQUESTS, matchers(objective=AVAILABILITY))
_TTFT_NOW: Final = select(autoscaler.SIGNAL, matchers(metric=TTFT_P99.name))


def _past(record: str) -> str:
    """Return the same hour of past days, the present moment in its middle."""
    hours = ((day, before_now(record, f"{24 * day * 60 - 30}m", _WITHIN)) for day in _DAYS)
    return " or ".join(f'label_replace({value}, "days", "{day}", "", "")' for day, value in hours)


def _records(record: str, expression: str) -> dict[str, str]:
    past = _past(record)
    enough = f"and count by (namespace, name) ({past}) >= {_FEWEST}"
    return {
        record: expression,
        f"{record}:usual": f"{aggregate('avg', past, BY)} {enough}",
        f"{record}:spread": f"{aggregate('stddev', past, BY)} {enough}",
    }


def _unusual(now: str, record: str, difference: str, least: float) -> str:
    """Return the value of now where it is out of the band, and by enough to matter."""
    off = difference.format(now=now, usual=f"{record}:usual")
    limits = (f"{_DEVIATIONS} * {record}:spread", f"{_LEAST_SHARE:g} * {record}:usual", f"{least:g}")
    return f"{now} and " + " and ".join(f"{off} > {limit}" for limit in limits)


_HOLD: Final = Hold("15m", "the value of now is a mean of a quarter of an hour, which has to lie outside as a whole")

GROUP: Final = Group(
    "autoglm-baseline",
    "5m",
    {
        **_records(_RATE, aggregate("avg", f"rate({_REQUESTS}[1h])", BY)),
        **_records(_TTFT, aggregate("max", f"avg_over_time({_TTFT_NOW}[1h])", BY)),
    },
    (
        Alert(
            "AutoGLMRequestRateUnusual",
            Severity.INFO,
            _unusual(aggregate("avg", f"rate({_REQUESTS}[15m])", BY), _RATE, "abs({now} - {usual})", _LEAST_RATE),
            _HOLD,
            "The rate of requests is far from what is usual at this hour.",
            about_deployment(
                "{{ $value | humanize }} requests each second, out of "
                f"{_DEVIATIONS} standard deviations around the same hour of past days."
            ),
            Board.DEPLOYMENT,
        ),
        Alert(
            "AutoGLMFirstTokenUnusual",
            Severity.INFO,
            _unusual(
                aggregate("max", f"avg_over_time({_TTFT_NOW}[15m])", BY), _TTFT, "({now} - {usual})", _LEAST_SECONDS
            ),
            _HOLD,
            "First tokens come much later than is usual at this hour.",
            about_deployment(
                "P99 of the time to first token is {{ $value | humanizeDuration }}, more than "
                f"{_DEVIATIONS} standard deviations over the same hour of past days."
            ),
            Board.DEPLOYMENT,
        ),
    ),
)
