"""Writes `status.autoscaling` and `status.serving`: rarely, and only what changed."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.api.status import AutoscalingStatus, ScalingDecision, Serving
from autoglm_operator.api.types import rfc3339
from autoglm_operator.autoscaler.pods import Key, Target
from autoglm_operator.decide.scaling.needs import milliseconds
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import ApiError, KubeError

logger = logging.getLogger(__name__)

#: A write for each deployment at most so often.
PAUSE_SECONDS: Final = 15.0
#: Sooner for another number of replicas: the HPA looks every 15 s, and whoever sees it act looks here for why.
DECISION_PAUSE_SECONDS: Final = 5.0
_CHANGE: Final = 0.1
_MESSAGE_LENGTH: Final = 1024
_MOST_LIMITS: Final = 8


@dataclass(frozen=True, slots=True)
class Latencies:
    """P99s in seconds; `None` if there is none."""

    ttft: float | None
    itl: float | None


def next_status(
    before: AutoscalingStatus | None, ordered: int, decision: Decision, latencies: Latencies, now: float
) -> AutoscalingStatus | None:
    """Return the status to write, or `None` if the present one will do: pure.

    Args:
        before: what is written now.
        ordered: replicas asked for in the spec.
        decision: of now.
        latencies: of now.
        now: Unix time.
    """
    before = before or AutoscalingStatus()
    same = _is_told(before, decision)
    # Their numbers move all the time.
    limited = [limit.reason for limit in before.limits] != [limit.reason for limit in decision.limits]
    if same and not limited and _close(before.ttft_p99, latencies.ttft) and _close(before.itl_p99, latencies.itl):
        return None
    made = before.decision if same else None
    return AutoscalingStatus(
        desired_replicas=decision.to,
        ttft_p99=_text(latencies.ttft),
        itl_p99=_text(latencies.itl),
        draining=decision.draining,
        decision=made or _decision(before.desired_replicas, ordered, decision, now),
        limits=decision.limits[:_MOST_LIMITS],
    )


def _decision(before: int | None, ordered: int, decision: Decision, now: float) -> ScalingDecision:
    return ScalingDecision(
        time=rfc3339(now),
        from_=ordered if before is None else before,
        to=decision.to,
        reason=decision.reason,
        message=decision.message[:_MESSAGE_LENGTH],
        traceparent=decision.traceparent,
    )


def _is_told(before: AutoscalingStatus, decision: Decision) -> bool:
    """Whether the sentence that is written is about this decision.

    While replicas finish their requests the number stays, and the sentence says how far they are.
    """
    return (before.desired_replicas, before.draining) == (decision.to, decision.draining)


def _text(value: float | None) -> str | None:
    return None if value is None else milliseconds(value)


def _close(written: str | None, value: float | None) -> bool:
    """Whether what is written is within a tenth of what is; a millisecond more or less is no news either."""
    if written is None or value is None:
        return written is None and value is None
    try:
        old = float(written.removesuffix("ms"))
    except ValueError:
        return False
    return abs(value * 1000 - old) <= max(1.0, _CHANGE * old)


class Writer:
    """Applies statuses as the one field manager of `status.autoscaling`.

    Args:
        client: of the API server.
        is_leader: whether this replica may write.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, client: Client, is_leader: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._is_leader = is_leader
        self._clock = clock
        self._written: dict[Key, float] = {}

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._written.pop(key, None)

    async def write(
        self, target: Target, decision: Decision | None, latencies: Latencies, serving: Serving | None
    ) -> None:
        """Write the status of `target` if this replica leads, there is news, and the last write is long enough ago.

        Args:
            target: as it is written now.
            decision: `None` if there is none to tell.
            latencies: of now.
            serving: what the engines say of themselves.
        """
        key = target.key
        last = self._written.get(key)
        told = decision is None or _is_told(target.status or AutoscalingStatus(), decision)
        pause = PAUSE_SECONDS if told else DECISION_PAUSE_SECONDS
        if not self._is_leader() or (last is not None and self._clock() - last < pause):
            return
        news = next_status(target.status, target.replicas, decision, latencies, time.time()) if decision else None
        kept = target.status if target.autoscaling else None
        if news is None and serving == target.serving and kept == target.status:
            return
        # Before the request: one that fails is not tried again at once either.
        self._written[key] = self._clock()
        try:
            await self._client.apply(_document(target, news or kept, serving), names.AUTOSCALER_MANAGER, "status")
        except KubeError as error:
            gone = isinstance(error, ApiError) and (error.is_not_found or error.is_conflict)
            if not gone:
                fields = {"namespace": key[0], "deployment": key[1], "error": str(error)}
                logger.warning("status not written", extra=fields)


def _document(target: Target, autoscaling: AutoscalingStatus | None, serving: Serving | None) -> Document:
    parts = {"autoscaling": autoscaling, "serving": serving}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        # The uid makes it this object's status and not that of a successor with the same name.
        "metadata": {"namespace": target.namespace, "name": target.name, "uid": target.uid},
        # Both parts each time: what a manager leaves out of its apply is removed.
        "status": {
            name: part.model_dump(by_alias=True, exclude_defaults=True)
            for name, part in parts.items()
            if part is not None
        },
    }
