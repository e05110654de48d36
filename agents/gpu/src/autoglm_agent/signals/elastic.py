"""Elastic batch: asking for fewer requests at once while the engine is under pressure. Pure.

Neither engine lets its batch limit be changed safely at run time: vLLM 0.33 has no such endpoint (a live cap is a draft
upstream), and SGLang's `/set_internal_state` is internal, needs the admin key, and resets the statistics of speculative
decoding. So the agent asks the operator: the request is in `/state`, and the operator decides.

The request starts from the batch seen under the pressure, if it has at least four requests. Each step down takes a
quarter off, at most one each 30 s, and never below a quarter of that batch. After two minutes of calm the request rises
by a quarter of that batch each minute, and is withdrawn when it is back where it started. Under Strict nothing is asked
for.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from autoglm_agent.signals.catalogue import DEVIATION
from autoglm_agent.signals.tolerance import MODES, Reaction, Tolerance

_DOWN_SECONDS: Final = 30.0
_CALM_SECONDS: Final = 120.0
_UP_SECONDS: Final = 60.0
_STEP: Final = 0.25
_LEAST_SHARE: Final = 0.25
_DEGRADED_SHARE: Final = 0.5
#: Fewer requests at once are not what fills a GPU, and a quarter less of them is no relief.
_LEAST_BATCH: Final = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the operator.

    Attributes:
        max_num_seqs: requests that should run at once, at least 1.
        reason: what brought the last change.
        since: monotonic time of the last change.
    """

    max_num_seqs: int
    reason: str
    since: float


class ElasticBatch:
    """Holds the request, if there is one.

    Args:
        tolerance: of the pod.

    Attributes:
        request: what is asked for; `None` if nothing is.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        self._mode = MODES[tolerance]
        self._base = 0
        self._pressed = -math.inf
        self._last = -math.inf
        self.request: Request | None = None

    def update(self, causes: tuple[str, ...], running: float, now: float) -> Request | None:
        """Return the request after this period.

        Args:
            causes: the signals that are on; empty means calm.
            running: requests in the batch.
            now: monotonic time in seconds.
        """
        if not self._mode.elastic:
            return None
        if now < self._last:
            # The clock was set back: what was asked for stands, and the waits begin anew.
            self._pressed = now
            self.request = self.request and replace(self.request, since=now)
        self._last = now
        if causes:
            self._pressed = now
            self._lower(causes, running, now)
        elif self.request is not None and now - self._pressed >= _CALM_SECONDS:
            self._raise(self.request, now)
        return self.request

    def _lower(self, causes: tuple[str, ...], running: float, now: float) -> None:
        request = self.request
        if request is None:
            if running < _LEAST_BATCH:
                return
            self._base = int(running)
            share = 1.0 - _STEP
            if self._mode.reaction is Reaction.DEGRADE and DEVIATION in causes:
                share = _DEGRADED_SHARE
            wanted = self._base * share
        elif now - request.since < _DOWN_SECONDS:
            return
        else:
            wanted = request.max_num_seqs * (1.0 - _STEP)
        wanted = max(1, math.floor(self._base * _LEAST_SHARE), math.floor(wanted))
        if request is None or wanted < request.max_num_seqs:
            self.request = Request(wanted, f"pressure: {', '.join(causes)}", now)

    def _raise(self, request: Request, now: float) -> None:
        if now - request.since < _UP_SECONDS:
            return
        wanted = request.max_num_seqs + max(1, math.floor(self._base * _STEP))
        calm = f"calm for {now - self._pressed:.0f} s"
        self.request = Request(wanted, calm, now) if wanted < self._base else None
