"""Warm start: what is made ready before an engine pod needs it.

`Lazy`: nothing. Each pod downloads the model itself and compiles for itself.

`Hybrid`: a Job downloads the weights once to a claim. Pods are made at once, so that nodes come and images are pulled
meanwhile; each waits, in front of the engine, until the weights are whole. What an engine compiles is kept there too.

`Full`: as Hybrid, but pods are made only when the weights are there, so that no GPU waits for a download, and the image
of the engine is pulled ahead on every node that a pod may run on.

In both, pods that serve other weights serve on until the new ones are there, and pods that wait for weights that cannot
be had are removed: their GPUs are released.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.quantity import GIBIBYTE, MEBIBYTE
from autoglm_operator.api.v1alpha1 import Spec, WarmStartMode
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.start.cache import Claim, Weights, compile_folder, plan_claim, weights_of
from autoglm_operator.decide.start.fetching import Next, decide_next, explain
from autoglm_operator.decide.start.startup import download_deadline
from autoglm_operator.observe.fetch import ANNOTATION_WEIGHTS, FetchRun, Outcome
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import ChildRef, Document, Observed

WEIGHTS_CACHED: Final = "WeightsCached"


class Pods(StrEnum):
    """What becomes of the engine pods.

    `RUN`: as planned. `KEEP`: those that are stay as they are, in their number too if need be. `NONE`: no replica.
    """

    RUN = "run"
    KEEP = "keep"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FetchJob:
    """A Job to be made.

    Attributes:
        request: hash of everything in the spec that the download depends on.
        deadline: seconds.
    """

    name: str
    request: str
    attempt: int
    deadline: int


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What is made ready, and how far that is.

    Attributes:
        claim: of the cache; `None` in Lazy.
        weights: to be downloaded; `None` if the engine or another volume has them.
        compile_folder: on the claim; empty in Lazy.
        job: to be made now; `None` if there is none to make.
        keep: children to leave as they are: a Job cannot be changed, and its history is the back-off.
        pods: what becomes of the engine pods.
        prepull: whether the engine image is pulled ahead.
        local: whether the engine finds the weights on the claim.
        identity: which weights the pods serve, on which claim; for the workload's annotation.
        status: of the condition `WeightsCached`; empty for no condition.
        reason: of the condition.
        message: of the condition.
        hopeless: whether a person has to change something before the weights can be had.
        again: seconds until this can change by itself; `None` if only by an event.
        outcome: of the finished download; `None` if there is none, or its figures are lost.
    """

    mode: WarmStartMode = WarmStartMode.LAZY
    claim: Claim | None = None
    weights: Weights | None = None
    compile_folder: str = ""
    job: FetchJob | None = None
    keep: frozenset[ChildRef] = frozenset()
    pods: Pods = Pods.RUN
    prepull: bool = False
    identity: str = ""
    status: str = ""
    reason: Reason | None = None
    message: str = ""
    hopeless: bool = False
    again: float | None = None
    outcome: Outcome | None = None

    @property
    def local(self) -> bool:
        """Whether the engine finds the weights on the claim."""
        return self.weights is not None

    def record(self) -> dict[str, Any] | None:
        """Return what `status.weights` keeps, because the pod that told it may be gone tomorrow."""
        if self.outcome is None:
            return None
        return {
            "identity": self.identity,
            "bytes": self.outcome.bytes,
            "seconds": round(self.outcome.seconds, 1),
            "bytesPerSecond": self.outcome.rate,
            "revision": self.outcome.revision,
        }


NO_WARM_START: Final = WarmStart()


def plan_warm_start(
    spec: Spec,
    observed: Observed,
    fetch_pods: Mapping[str, Pod],
    *,
    image: str,
    version: str,
    gpu_product: str | None = None,
    checkpoint_bytes: int | None = None,
) -> WarmStart:
    """Return what is made ready for the pods of `spec`.

    Args:
        spec: of the deployment.
        observed: its children and the time.
        fetch_pods: newest pod of each download, by the name of its Job.
        image: of the engine.
        version: of the engine in it.
        gpu_product: that the pods will run on, if known.
        checkpoint_bytes: of the weights, if known.

    Raises:
        Terminal: the claim that is cannot become what the spec asks for.
    """
    mode = spec.warm_start.mode
    if mode is WarmStartMode.LAZY:
        return NO_WARM_START
    name = observed.deployment.name
    claim = plan_claim(name, spec, _child(observed, "PersistentVolumeClaim", f"{name}-cache"), checkpoint_bytes)
    weights = weights_of(spec.model)
    folder = compile_folder(spec, image, version, gpu_product)
    full = mode is WarmStartMode.FULL
    if weights is None:
        status, reason, message = "True", Reason.WEIGHTS_ON_VOLUME, _on_volume(spec, claim)
        return WarmStart(
            mode, claim, None, folder, prepull=full, status=status, reason=reason, message=message, identity=claim.name
        )
    identity = f"{claim.name}/{weights.folder}"
    request = _request(spec, weights, claim)
    jobs = {ref: job for ref, job in observed.children.items() if ref[1] == "Job"}
    runs = [FetchRun.of(job, fetch_pods.get(ref[2])) for ref, job in jobs.items()]
    step = decide_next(runs, request, identity, observed.now)
    known = _known(observed, identity, step)
    status, reason, message = _verdict(weights, claim, step, runs, known)
    if full:
        message += _pulled(_child(observed, "DaemonSet", f"{name}-prepull"))
    return WarmStart(
        mode=mode,
        claim=claim,
        weights=weights,
        compile_folder=folder,
        job=_job(name, request, step, download_deadline(checkpoint_bytes, known.rate if known else None)),
        keep=frozenset(ref for ref in jobs if ref[2] == step.keep),
        pods=_pods(observed, identity, step, full=full),
        prepull=full,
        identity=identity,
        status=status,
        reason=reason,
        message=message,
        hopeless=step.hopeless,
        again=step.again,
        outcome=known if step.done else None,
    )


def _child(observed: Observed, kind: str, name: str) -> Document | None:
    return next((child for ref, child in observed.children.items() if ref[1:] == (kind, name)), None)


def _request(spec: Spec, weights: Weights, claim: Claim) -> str:
    """Return the hash of all that a download depends on: a change of it is worth another attempt."""
    token = spec.model.token_secret_ref
    words = {
        "weights": [weights.kind, weights.model, weights.revision, spec.model.hub_endpoint],
        "token": [token.name, token.key] if token else None,
        "claim": [claim.name, claim.size],
    }
    return content_hash(words)[:8]


def _job(deployment: str, request: str, step: Next, deadline: int) -> FetchJob | None:
    if step.attempt is None:
        return None
    return FetchJob(f"{deployment}-fetch-{request}-{step.attempt}", request, step.attempt, deadline)


def _known(observed: Observed, identity: str, step: Next) -> Outcome | None:
    """Return the figures of the download: from its pod, or as the status remembers them."""
    if step.done is not None and step.done.outcome is not None:
        return step.done.outcome
    kept = observed.deployment.status.get("weights") or {}
    if kept.get("identity") != identity:
        return None
    return Outcome.of({"reason": "Downloaded", "message": "", **kept})


def _pods(observed: Observed, identity: str, step: Next, *, full: bool) -> Pods:
    if step.done is not None:
        return Pods.RUN
    workload = observed.workload
    hopeless = step.hopeless
    if workload is not None:
        replicas = workload["spec"].get("replicas", 0)
        if (workload["metadata"].get("annotations") or {}).get(ANNOTATION_WEIGHTS, "") != identity:
            return Pods.KEEP if replicas else Pods.NONE
        if any(pod.ready for pod in observed.pods):
            # They have read their weights; that the record of the download is gone is no reason to stop them.
            return Pods.RUN
        if full and not replicas:
            return Pods.NONE
        return Pods.NONE if hopeless else Pods.RUN
    return Pods.NONE if full or hopeless else Pods.RUN


def _verdict(
    weights: Weights, claim: Claim, step: Next, runs: list[FetchRun], known: Outcome | None
) -> tuple[str, Reason, str]:
    if step.done is not None:
        return "True", Reason.WEIGHTS_CACHED, f"{weights} is on claim {claim.name}{_figures(known)}"
    if step.failed is not None:
        reason, message = explain(step.failed, step.again)
        return "False", reason, f"{weights} cannot be downloaded: {message}"
    if step.attempt is not None:
        return "Unknown", Reason.DOWNLOADING_WEIGHTS, f"the download of {weights} to claim {claim.name} begins"
    active = next(run for run in runs if run.job == step.keep)
    if active.trouble is not None:
        return "False", Reason(active.trouble[0]), f"Job {active.job} does not run: {active.trouble[1]}"
    return "False", Reason.DOWNLOADING_WEIGHTS, f"Job {active.job} downloads {weights} to claim {claim.name}"


def _figures(known: Outcome | None) -> str:
    if known is None or not known.bytes:
        return ""
    commit = f", commit {known.revision[:12]}" if known.revision else ""
    speed = f" at {known.rate / MEBIBYTE:.1f} MiB/s" if known.rate else ""
    return f": {known.bytes / GIBIBYTE:.1f} GiB{commit}, downloaded in {known.seconds:.0f} s{speed}"


def _pulled(prepull: Document | None) -> str:
    """Return on how many nodes the engine's image is, for people; empty if nobody knows yet."""
    status = (prepull or {}).get("status") or {}
    nodes, ready = status.get("desiredNumberScheduled"), status.get("numberReady", 0)
    return f"; the engine image is on {ready} of {nodes} nodes" if nodes else ""


def _on_volume(spec: Spec, claim: Claim) -> str:
    source = spec.model.source
    where = f"claim {source.pvc.claim_name}" if source.pvc else "an image volume"
    return f"the weights are on {where} already; claim {claim.name} holds the compile cache"
