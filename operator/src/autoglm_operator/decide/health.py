"""How a deployment is: pure judgement of its workload, pods and HPA, each in one sentence with its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.scaling.actuation import Path
from autoglm_operator.decide.start.warmstart import WEIGHTS_CACHED
from autoglm_operator.decide.trouble import (
    Trouble,
    condition,
    released,
    replicas_in_words,
    trouble_of_pods,
    waiting,
)
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import Document, Observed

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SCALING_ACTIVE = "ScalingActive"
FITS = "Fits"
GPU_ALLOCATION = "GPUAllocation"

#: Refusals that are about one aspect: its own condition says so too.
_REFUSED_BY: Final = {
    FITS: (Reason.DOES_NOT_FIT,),
    GPU_ALLOCATION: (
        Reason.NO_DYNAMIC_RESOURCE_ALLOCATION,
        Reason.NO_MATCHING_GPU,
        Reason.TOO_FEW_GPUS_PER_NODE,
        Reason.NO_LEADER_WORKER_SET,
    ),
}


class FitView(Protocol):
    """What health reads of a memory fit."""

    @property
    def fits(self) -> bool | None:
        """Return whether the model fits its GPUs; `None` if that is not known."""

    @property
    def sentence(self) -> str:
        """Return the judgement with its numbers."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition, before it has a generation and a time."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell once, as an event.

    Attributes:
        kind: `Normal` or `Warning`.
    """

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The whole judgement.

    Attributes:
        wanted: engine pods that the spec asks for.
        replicas: those that exist and are not being removed.
        ready: those that answer requests.
        verdicts: one for each condition type.
        fit: `status.fit`; `None` leaves it as it is.
        cold_start: `status.coldStart`; `None` leaves it as it is.
        weights: `status.weights`; `None` leaves it as it is.
        actuation: `status.actuation`; `None` leaves it as it is.
        notices: beside those that follow from the conditions.
    """

    wanted: int
    replicas: int
    ready: int
    verdicts: tuple[Verdict, ...]
    fit: Mapping[str, Any] | None = None
    cold_start: Mapping[str, Any] | None = None
    weights: Mapping[str, Any] | None = None
    actuation: Mapping[str, Any] | None = None
    notices: tuple[Notice, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Count:
    """Replicas by what they run: the newest template, or an older one that is being replaced."""

    wanted: int
    current: tuple[Pod, ...]
    previous: tuple[Pod, ...]

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.current)

    @property
    def previous_ready(self) -> int:
        return sum(pod.ready for pod in self.previous)


def assess(observed: Observed, plan: Plan, *, fit: FitView | None = None) -> Health:
    """Return the judgement of a deployment whose plan could be made.

    Args:
        observed: after the children were written.
        plan: what should be.
        fit: how the model fits its GPUs; `None` if that was not judged.
    """
    leaders = _leaders([pod for pod in observed.pods if not pod.terminating])
    count = _count(leaders, observed.template, plan.replicas)
    given_up = released(plan)
    trouble = given_up or trouble_of_pods(observed, plan, count.current, count.previous) or waiting(plan)
    verdicts = (
        _without_replicas(given_up) if given_up else _ready(count, trouble),
        _reconciling(count, plan, observed.template),
        _stalled(trouble),
        _scaling_active(plan, observed),
        _fits(fit),
        Verdict(GPU_ALLOCATION, plan.allocation.status, plan.allocation.reason, plan.allocation.message),
        *_weights(plan),
    )
    answering = count.ready + count.previous_ready
    return Health(count.wanted, len(leaders), answering, verdicts, actuation=plan.actuation.record())


def refused(observed: Observed, reason: str, message: str) -> Health:
    """Return the judgement when children could not be made as wanted; what runs goes on running."""
    alive = _leaders([pod for pod in observed.pods if not pod.terminating])
    ready = sum(pod.ready for pod in alive)
    kept = f"; still answering requests: {replicas_in_words(ready)}" if ready else ""
    aspects = (
        Verdict(aspect, "False" if reason in _REFUSED_BY.get(aspect, ()) else "Unknown", reason, message)
        for aspect in (SCALING_ACTIVE, FITS, GPU_ALLOCATION)
    )
    return Health(
        observed.deployment.spec.replicas if observed.deployment.spec else 0,
        len(alive),
        ready,
        (
            Verdict(READY, "False", reason, message + kept),
            Verdict(RECONCILING, "False", reason, message),
            Verdict(STALLED, "True", reason, message + kept),
            *aspects,
        ),
    )


def _leaders(alive: Sequence[Pod]) -> list[Pod]:
    """Return the pods that answer requests, or will: one for each replica, and none that has run its course."""
    return [pod for pod in alive if pod.worker == 0 and not pod.ended]


def _count(leaders: Sequence[Pod], newest: str | None, wanted: int) -> _Count:
    """Tell the pods of the newest template from the others, by the hash that template and pods carry."""
    current = tuple(pod for pod in leaders if pod.template == newest)
    return _Count(wanted, current, tuple(pod for pod in leaders if pod.template != newest))


def _weights(plan: Plan) -> tuple[Verdict, ...]:
    if not plan.warm.status or plan.warm.reason is None:
        return ()
    return (Verdict(WEIGHTS_CACHED, plan.warm.status, plan.warm.reason, plan.warm.message),)


def _without_replicas(released: Trouble) -> Verdict:
    return Verdict(READY, "False", released.reason, f"no replica runs; {released.message}")


def _ready(count: _Count, trouble: Trouble | None) -> Verdict:
    why = f"; {trouble.message}" if trouble else ""
    if count.wanted == 0:
        return Verdict(READY, "False", Reason.SCALED_TO_ZERO, "0 replicas are wanted: no request is answered")
    if count.previous_ready:
        message = (
            f"{count.ready} of {count.wanted} replicas run the new spec, {count.previous_ready} of the old one answer"
        )
        return Verdict(READY, "False", trouble.reason if trouble else Reason.ROLLING_OUT, message + why)
    if count.ready:
        return Verdict(
            READY, "True", Reason.REPLICAS_READY, f"{count.ready} of {count.wanted} replicas answer requests"
        )
    message = f"0 of {count.wanted} replicas answer requests"
    return Verdict(READY, "False", trouble.reason if trouble else Reason.STARTING, message + why)


def _reconciling(count: _Count, plan: Plan, newest: str | None) -> Verdict:
    if count.previous:
        message = f"{len(count.previous)} pods of the previous spec are being replaced"
        if newest is not None and (room := plan.rollout(newest).message):
            message += f"; {room}"
        return Verdict(RECONCILING, "True", Reason.ROLLING_OUT, message)
    if len(count.current) != count.wanted or count.ready < count.wanted:
        message = f"replicas: {count.wanted} wanted, {len(count.current)} existing, {count.ready} answering requests"
        return Verdict(RECONCILING, "True", Reason.SCALING, message)
    return Verdict(RECONCILING, "False", Reason.UP_TO_DATE, "everything is as the spec wants it")


def _stalled(trouble: Trouble | None) -> Verdict:
    if trouble and trouble.wrong:
        return Verdict(STALLED, "True" if trouble.waits_for_a_person else "False", trouble.reason, trouble.message)
    return Verdict(STALLED, "False", Reason.NOTHING_WRONG, "nothing waits for a person")


def _fits(fit: FitView | None) -> Verdict:
    if fit is None or fit.fits is None:
        message = fit.sentence if fit else "the memory that the model needs was not judged"
        return Verdict(FITS, "Unknown", Reason.FIT_UNKNOWN, message)
    if fit.fits:
        return Verdict(FITS, "True", Reason.FITS, fit.sentence)
    return Verdict(FITS, "False", Reason.DOES_NOT_FIT, fit.sentence)


def _scaling_active(plan: Plan, observed: Observed) -> Verdict:
    how = plan.actuation
    if how.path is Path.HPA:
        waits = "the HPA has not been evaluated yet; the controller-manager does so every 15 s"
        return _as_told(observed.child("HorizontalPodAutoscaler"), (SCALING_ACTIVE,), Reason.WAITING_FOR_HPA, waits)
    if how.path is Path.KEDA:
        waits = f"{how.message}; KEDA has not looked at it yet"
        return _as_told(observed.child("ScaledObject"), ("Fallback", "Ready"), Reason.WAITING_FOR_KEDA, waits)
    if how.path is not Path.DIRECT:
        return Verdict(SCALING_ACTIVE, "False", how.reason, how.message)
    if plan.replicas == 0:
        message = "spec.replicas is 0: nothing is scaled until somebody sets it to 1 or more"
        return Verdict(SCALING_ACTIVE, "False", Reason.SCALED_TO_ZERO, message)
    if (observed.deployment.status.get("autoscaling") or {}).get("desiredReplicas") is None:
        message = f"{how.message}; it has not decided yet"
        return Verdict(SCALING_ACTIVE, "Unknown", Reason.WAITING_FOR_AUTOSCALER, message)
    return Verdict(SCALING_ACTIVE, "True", how.reason, how.message)


def _as_told(child: Document | None, types: Sequence[str], waiting_for: Reason, waits: str) -> Verdict:
    """Return what the child's own conditions say: the last of `types`, or one before that is true and no good news."""
    *bad, last = [condition(child, kind) if child else {} for kind in types]
    worse = next((item for item in bad if item.get("status") == "True"), None)
    if worse is not None:
        return Verdict(SCALING_ACTIVE, "False", worse.get("reason") or waiting_for, worse.get("message", ""))
    if not last:
        return Verdict(SCALING_ACTIVE, "Unknown", waiting_for, waits)
    return Verdict(SCALING_ACTIVE, last["status"], last.get("reason") or waiting_for, last.get("message", ""))
