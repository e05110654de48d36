"""The counters that objectives are judged by: the autoscaler serves them, and alert rules ask for them."""

from typing import Final

from autoglm_operator.metric import DEPLOYMENT, Label, Metric

TTFT: Final = "ttft"
ITL: Final = "itl"
AVAILABILITY: Final = "availability"

_OBJECTIVE: Final = Label(
    "objective",
    "What is judged: ttft (each request), itl (each token), availability (each request that ended).",
    (TTFT, ITL, AVAILABILITY),
)
SLO_REQUESTS: Final = Metric(
    "autoglm_autoscaler_slo_requests_total",
    "counter",
    "",
    "Events judged by each objective of an AutoGLMDeployment; absent where it sets none.",
    (*DEPLOYMENT, _OBJECTIVE),
)
SLO_GOOD: Final = Metric(
    "autoglm_autoscaler_slo_good_total",
    "counter",
    "",
    "Events that kept the objective, of those judged: exact where the objective is a bound of the engine's buckets, "
    "interpolated where it lies between two.",
    (*DEPLOYMENT, _OBJECTIVE),
)
