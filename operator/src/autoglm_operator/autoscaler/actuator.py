"""Writes `spec.replicas` through `/scale`: ahead of the HPA when demand steps, and alone where there is no HPA.

The HPA looks every 15 s, and each 50 s in a cluster with a thousand of them. Whatever it would write for a decision is
known before, so that a step up is written here at once; the HPA finds it done. Down is left to it. Where it cannot read
our metrics (path `Direct`) both ways are written here. Nothing is held here: whoever decides has seen to that.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace

from autoglm_operator.api import names
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.pods import Key, Target
from autoglm_operator.decide.scaling.actuation import OURS, Path
from autoglm_operator.decide.scaling.bounds import widest
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import HTTP_CONFLICT, HTTP_INVALID, ApiError, KubeError
from autoglm_operator.tracing import fail, link, tracer

logger = logging.getLogger(__name__)

#: A tick does not wait for more. Whether such a write was made is told by the next one's test.
_WRITE_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 5.0
_MOST_PAUSE_SECONDS: Final = 60.0
#: Writes that somebody else was ahead of, in a row, after which a pause follows as after a failure.
_CONFLICTS: Final = 3


def order(target: Target, wanted: int) -> int | None:
    """Return the replicas to write; `None` if there is nothing to write: pure.

    Args:
        target: with its path, bounds, and the replicas that are ordered now.
        wanted: by the decision.
    """
    # As with an HPA, 0 replicas are a person's word, and stay.
    if target.autoscaling is None or target.actuation is None or target.replicas == 0:
        return None
    least, most = widest(target.autoscaling)
    to = max(least, min(most, wanted))
    moves = to != target.replicas if target.actuation.path == Path.DIRECT else to > target.replicas
    return to if moves and target.actuation.path in OURS else None


@dataclass(slots=True)
class _Pause:
    """After failures: how many in a row, and until when nothing is written."""

    failures: int = 0
    until: float = 0.0
    told: str = ""


class Actuator:
    """Writes replicas as the leader, one write for each deployment at a time.

    Args:
        client: of the API server.
        is_leader: whether this replica may write.
        metrics: of this process.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        client: Client,
        is_leader: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._is_leader = is_leader
        self._metrics = metrics
        self._clock = clock
        self._pauses: dict[Key, _Pause] = {}
        self._writing: set[Key] = set()

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._pauses.pop(key, None)

    async def act(self, target: Target, decision: Decision) -> None:
        """Bring `spec.replicas` to what was decided, as far as the path leaves that to the autoscaler.

        A write that is refused because somebody else changed the replicas meanwhile is not repeated: the next tick
        decides anew, on what there is then.

        Args:
            target: as last seen.
            decision: of this tick.
        """
        key = target.key
        if (to := order(target, decision.to)) is None:
            self._pauses.pop(key, None)
            return
        pause = self._pauses.get(key)
        waits = pause is not None and self._clock() < pause.until
        if waits or key in self._writing or not self._is_leader():
            return
        self._writing.add(key)
        try:
            with _span(target, decision, to):
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._client.scale(_object(target), names.AUTOSCALER_MANAGER, before=target.replicas, to=to)
        except (KubeError, TimeoutError) as error:
            self._failed(key, target, error)
        else:
            self._pauses.pop(key, None)
            self._count(target, "ok")
            fields = {"from": target.replicas, "to": to, "reason": decision.reason.value}
            logger.info("replicas written", extra=_fields(target) | fields)
        finally:
            self._writing.discard(key)

    def _failed(self, key: Key, target: Target, error: KubeError | TimeoutError) -> None:
        conflict = isinstance(error, ApiError) and error.status in (HTTP_CONFLICT, HTTP_INVALID)
        self._count(target, "conflict" if conflict else "failed")
        pause = self._pauses.setdefault(key, _Pause())
        pause.failures += 1
        number = pause.failures - (_CONFLICTS if conflict else 1)
        if number < 0:
            logger.info("replicas changed by somebody else", extra=_fields(target) | {"error": str(error)})
            return
        wait = min(_MOST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(number, 10))
        pause.until = self._clock() + wait
        # Once for each kind of trouble: a right that is missing is missing each minute.
        problem = str(error) or f"no answer within {_WRITE_SECONDS:.0f} s"
        if pause.told != problem:
            pause.told = problem
            fields = {"error": problem, "retry_in_seconds": wait}
            logger.warning("replicas not written", extra=_fields(target) | fields)

    def _count(self, target: Target, result: str) -> None:
        if target.actuation is not None:
            self._metrics.scale_writes.labels(target.actuation.path, result).inc()


def _object(target: Target) -> Document:
    metadata = {"namespace": target.namespace, "name": target.name, "uid": target.uid}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata}


def _fields(target: Target) -> dict[str, object]:
    path = target.actuation.path if target.actuation else Path.NONE
    return {"namespace": target.namespace, "deployment": target.name, "path": path}


@contextmanager
def _span(target: Target, decision: Decision, to: int) -> Iterator[None]:
    """Run the block in a span below that of the decision, if that is traced."""
    parent = link(decision.traceparent, {})
    if parent is None or target.actuation is None:
        yield
        return
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent.context))
    attributes: dict[str, str | int] = {
        "k8s.namespace.name": target.namespace,
        "autoglm.deployment.name": target.name,
        "autoglm.actuation.path": target.actuation.path,
        "autoglm.replicas.from": target.replicas,
        "autoglm.replicas.to": to,
    }
    with tracer.start_as_current_span(
        "write replicas", context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except (KubeError, TimeoutError) as error:
            fail(span, error)
            raise
