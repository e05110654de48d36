"""How long a pod may take to start and to stop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Endpoints are withdrawn while the engine still serves: proxies on other nodes need this long to hear of it.
PRE_STOP_SECONDS: Final = 5
#: Longest answer a drain waits for, until traffic tells: AutoGLM's 3,000 output tokens at 60 ms each.
DRAIN_SECONDS: Final = 180
#: After the drain the engine still has to free its memory and exit.
EXIT_SECONDS: Final = 15
#: Weights of the largest single-node models take this long to download and load.
STARTUP_SECONDS: Final = 3600
#: The tail beyond the 99th percentile.
_DRAIN_MARGIN: Final = 1.5
_DRAIN_BOUNDS: Final = (30, 900)
#: Drains are told apart in steps, so that traffic that wavers does not change the pods.
_DRAIN_STEP: Final = 30


@dataclass(frozen=True, slots=True)
class Timing:
    """Bounds on starting and stopping, in seconds.

    Attributes:
        startup: from the start of the engine until it answers; the kubelet restarts it after that.
        pre_stop: the engine serves on while endpoints are withdrawn.
        drain: then it finishes the requests it holds.
        grace: from the order to stop until the kubelet kills; a little more than the two together.
    """

    startup: int = STARTUP_SECONDS
    pre_stop: int = PRE_STOP_SECONDS
    drain: int = DRAIN_SECONDS

    @property
    def grace(self) -> int:
        """Return what the pod is given: the parts in turn."""
        return self.pre_stop + self.drain + EXIT_SECONDS


def learned_drain(serving: Mapping[str, Any]) -> int | None:
    """Return the drain that traffic calls for, in seconds; `None` while it is not known.

    Args:
        serving: `status.serving`, with the 99th percentile of the answers' length and of the time between tokens.
    """
    tokens, pace = serving.get("outputTokensP99"), serving.get("itlP99Seconds")
    if not tokens or not pace:
        return None
    low, high = _DRAIN_BOUNDS
    steps = math.ceil(float(tokens) * float(pace) * _DRAIN_MARGIN / _DRAIN_STEP)
    return min(high, max(low, steps * _DRAIN_STEP))
