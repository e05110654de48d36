"""What limits the replicas of a deployment at present, and which field of its spec moves that: pure.

The table is `RULES`: the first row that holds names the cause. A cause other than *idle* and *client* is named only
under pressure: requests wait, or a latency is near its objective. A GPU whose memory is read at full speed for a single
request is no bottleneck, because more requests would cost it nothing.

Compute and memory bandwidth are told apart by what the GPUs' own counters say. Without those counters they are told by
the tokens that a step of the engine computes: a step reads every weight once and does two operations with it for each
token, so that a GPU is short of memory bandwidth below some tokens in a step and short of compute above some, and where
that is depends on the GPU only between `BANDWIDTH_TOKENS` and `COMPUTE_TOKENS`. There, nothing is claimed.
"""

from autoglm_operator.decide.bottleneck.case import (
    BANDWIDTH_TOKENS,
    COMPUTE_TOKENS,
    LATENCY_PRESSURE,
    WELL,
    WINDOW_SECONDS,
    Cause,
    Figures,
    Setup,
)
from autoglm_operator.decide.bottleneck.finding import (
    IDLE_SECONDS,
    REFRESH_SECONDS,
    SETTLE_SECONDS,
    Finding,
    Held,
    diagnose,
    settle,
)
from autoglm_operator.decide.bottleneck.rules import RULES, Rule

__all__ = [
    "BANDWIDTH_TOKENS",
    "COMPUTE_TOKENS",
    "IDLE_SECONDS",
    "LATENCY_PRESSURE",
    "REFRESH_SECONDS",
    "RULES",
    "SETTLE_SECONDS",
    "WELL",
    "WINDOW_SECONDS",
    "Cause",
    "Figures",
    "Finding",
    "Held",
    "Rule",
    "Setup",
    "diagnose",
    "settle",
]
