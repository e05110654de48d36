"""What the autoscaler found out about the replicas, as conditions and events: pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from autoglm_operator.api.v1alpha1 import Tolerance
from autoglm_operator.decide.bottleneck import WELL, Cause, Finding
from autoglm_operator.decide.health import Notice, Verdict
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.scaling.actuation import Path
from autoglm_operator.decide.scaling.elastic import ELASTIC_PERIODS
from autoglm_operator.observe.world import Observed

BOTTLENECK: Final = "Bottleneck"
BATCH_REDUCED: Final = "BatchReduced"
SCALING_LIMITED: Final = "ScalingLimited"

#: HPAs that the controller-manager visits in a second, by its default of 20 requests; and how often it means to.
_VISITS_PER_SECOND: Final = 20
_PERIOD_SECONDS: Final = 15
_MOST_HPAS: Final = _VISITS_PER_SECOND * _PERIOD_SECONDS

_REASONS: Final = {
    Cause.COMPUTE: Reason.COMPUTE,
    Cause.MEMORY_BANDWIDTH: Reason.MEMORY_BANDWIDTH,
    Cause.KV_CACHE: Reason.KV_CACHE,
    Cause.QUEUE: Reason.QUEUE,
    Cause.NETWORK: Reason.NETWORK,
}


def verdicts(observed: Observed, plan: Plan) -> Iterator[Verdict]:
    """Yield the conditions; those on what the replicas do only once the autoscaler has said anything."""
    if plan.autoscaled:
        yield _scaling(observed, plan)
    serving = observed.deployment.status.get("serving")
    if serving is None:
        return
    yield _bottleneck(serving)
    if plan.spec.tolerance is not Tolerance.STRICT:
        yield _batch(serving, plan)


def notices(observed: Observed, plan: Plan) -> Iterator[Notice]:
    """Yield what is new in the conditions: a bottleneck, a smaller batch, a limit of scaling."""
    for verdict in verdicts(observed, plan):
        known = observed.deployment.conditions.get(verdict.type)
        if verdict.status == "True" and (known is None or known.reason != verdict.reason):
            kind = "Warning" if verdict.type == SCALING_LIMITED else "Normal"
            yield Notice(kind, verdict.reason, verdict.message)


def _scaling(observed: Observed, plan: Plan) -> Verdict:
    """Return whether something keeps the replicas from being what demand needs, whatever the autoscaler does."""
    limits = (observed.deployment.status.get("autoscaling") or {}).get("limits") or ()
    if limits:
        message = "; ".join(limit["message"] for limit in limits)
        return Verdict(SCALING_LIMITED, "True", limits[0]["reason"], message)
    if plan.actuation.path is Path.HPA and observed.hpas is not None and observed.hpas > _MOST_HPAS:
        # Rounded: another HPA somewhere is no news here.
        hpas = observed.hpas // 100 * 100
        message = (
            f"the cluster has {hpas} HPAs or more, and kube-controller-manager by its defaults visits "
            f"{_VISITS_PER_SECOND} a second: each every {hpas / _VISITS_PER_SECOND:.0f} s, not {_PERIOD_SECONDS} s, "
            "so that replicas are removed later (they are added at once all the same); raise its --kube-api-qps and "
            "--kube-api-burst"
        )
        return Verdict(SCALING_LIMITED, "False", Reason.HPA_SLOW, message)
    return Verdict(SCALING_LIMITED, "False", Reason.NOT_LIMITED, "nothing keeps the replicas from what demand needs")


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
