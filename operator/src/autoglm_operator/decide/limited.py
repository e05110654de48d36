"""What the autoscaler found out about the replicas, as conditions and events: pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from autoglm_operator.api.v1alpha1 import Tolerance
from autoglm_operator.decide.bottleneck import WELL, Cause, Finding
from autoglm_operator.decide.elastic import ELASTIC_PERIODS
from autoglm_operator.decide.health import Notice, Verdict
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Observed

BOTTLENECK: Final = "Bottleneck"
BATCH_REDUCED: Final = "BatchReduced"

_REASONS: Final = {
    Cause.COMPUTE: Reason.COMPUTE,
    Cause.MEMORY_BANDWIDTH: Reason.MEMORY_BANDWIDTH,
    Cause.KV_CACHE: Reason.KV_CACHE,
    Cause.QUEUE: Reason.QUEUE,
    Cause.NETWORK: Reason.NETWORK,
}


def verdicts(observed: Observed, plan: Plan) -> Iterator[Verdict]:
    """Yield the conditions; none before the autoscaler has said anything."""
    serving = observed.deployment.status.get("serving")
    if serving is None:
        return
    yield _bottleneck(serving)
    if plan.spec.tolerance is not Tolerance.STRICT:
        yield _batch(serving, plan)


def notices(observed: Observed, plan: Plan) -> Iterator[Notice]:
    """Yield what is new in the conditions: a bottleneck, or a smaller batch."""
    for verdict in verdicts(observed, plan):
        known = observed.deployment.conditions.get(verdict.type)
        if verdict.status == "True" and (known is None or known.reason != verdict.reason):
            yield Notice("Normal", verdict.reason, verdict.message)


def _bottleneck(serving: Mapping[str, Any]) -> Verdict:
    found = serving.get("bottleneck")
    if not found:
        message = "no replica was ready, or observed for long enough, to tell what limits it"
        return Verdict(BOTTLENECK, "Unknown", Reason.BOTTLENECK_UNKNOWN, message)
    named = found["cause"]
    cause = Cause(named) if named in set(Cause) else Cause.UNKNOWN
    sentence = Finding(cause, found["evidence"], found.get("knob", "")).sentence
    if cause in WELL:
        return Verdict(BOTTLENECK, "False", Reason.NO_BOTTLENECK, sentence)
    if cause is Cause.UNKNOWN:
        return Verdict(BOTTLENECK, "Unknown", Reason.BOTTLENECK_UNKNOWN, sentence)
    return Verdict(BOTTLENECK, "True", _REASONS[cause], sentence)


def _batch(serving: Mapping[str, Any], plan: Plan) -> Verdict:
    asked = serving.get("requestedMaxNumSeqs")
    if asked is None:
        return Verdict(BATCH_REDUCED, "False", Reason.FULL_BATCH, "no agent asks for a smaller batch")
    acts = (
        f"it counts as the batch of the replica that asks, once it did in {ELASTIC_PERIODS} answers in a row, so that "
        "replicas are added earlier"
        if plan.autoscaled
        else "spec.autoscaling is not set, so nothing acts on it: lower spec.engine.batching.maxNumSeqs, or raise "
        "spec.replicas"
    )
    message = (
        f"an agent asks for at most {asked} requests at once under memory pressure; {acts}; no engine changes its "
        "batch while it runs, and none is restarted for this"
    )
    return Verdict(BATCH_REDUCED, "True", Reason.SMALLER_BATCH, message)
