"""Why an engine pod does not run: what happened and what to do, in one sentence that names the field to change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.diagnosis import Diagnosis, diagnose, telling_lines
from autoglm_operator.decide.platform import pull_failure, unschedulable_cures
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures import Outlook
from autoglm_operator.observe.engine_log import EngineLog
from autoglm_operator.observe.pod import Container, Exit, Pod

#: One exit can be chance; the kubelet backs off from the second.
CRASHES_TO_TELL: Final = 2
#: A pod of a group does not live to see the second: the group is made anew.
CRASHES_OF_A_GROUP: Final = 1
#: What a probe's kill may come late: its last period and timeout, and the clock's whole seconds.
_LATE_SECONDS: Final = 60.0
_LINE_LENGTH: Final = 300
#: What the kubelet keeps of a log: pkg/kubelet/container/runtime.go, MaxContainerTerminationMessageLogLength.
_KEPT_BYTES: Final = 2048

#: Last lines that only point elsewhere.
_NOISE: Final = re.compile(
    r"See root cause above|EngineCore failed to start|resource_tracker|warnings\.warn|destroy_process_group"
    r"|Received sigquit from a child process|^Killed$|Traceback \(most recent call last\)|^[\s~^|.-]*$"
)

_IMAGE_WAITS: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CREATE_WAITS: Final = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"}
_SIGNALS: Final = {"SIGILL": 132, "SIGABRT": 134, "SIGBUS": 135, "SIGKILL": 137, "SIGSEGV": 139, "SIGTERM": 143}
#: What the kubelet leaves of a container that it stops for a probe: killed, or an engine that obeyed.
_STOPPED: Final = (0, _SIGNALS["SIGKILL"], _SIGNALS["SIGTERM"])
_EXITS: Final = {
    126: (Reason.IMAGE_BROKEN, "the engine's command cannot be run", "choose another spec.engine.image"),
    127: (Reason.IMAGE_BROKEN, "the image does not hold the engine's command", "choose another spec.engine.image"),
    _SIGNALS["SIGBUS"]: (
        Reason.SHARED_MEMORY_TOO_SMALL,
        "it touched shared memory that is not there",
        "raise spec.resources.memory, which shared memory counts against",
    ),
    _SIGNALS["SIGSEGV"]: (
        Reason.ENGINE_SEGFAULT,
        "it crashed in native code (signal 11)",
        "try another spec.engine.version or spec.engine.image",
    ),
    _SIGNALS["SIGILL"]: (
        Reason.ENGINE_SEGFAULT,
        "the processor does not know an instruction of its code (signal 4)",
        "choose a spec.engine.image built for the node's processor",
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pod does not run.

    Attributes:
        reason: of the condition.
        outlook: what becomes of it if nobody does anything.
        text: what happened and what to do.
        pod: name of the pod.
        crashes: runs of the container that ended so; 0 if it never ran.
        over: since when, in seconds since the epoch, the present run has outlasted the one that failed; `None` if none
            runs, or it is not known how long the failed one ran.
    """

    reason: Reason
    outlook: Outlook
    text: str
    pod: str
    crashes: int = 0
    over: float | None = None

    @property
    def sentence(self) -> str:
        """Return the words for a condition."""
        return f"pod {self.pod}: {self.text}"


def about(spec: Spec) -> Mapping[str, str]:
    """Return what sentences name of a spec: `model`, `revision` and `context`."""
    source = spec.model.source
    volume = source.pvc and f"{source.pvc.path or '/'} of claim {source.pvc.claim_name}"
    image = source.oci_image and source.oci_image.reference
    length = spec.model.context_length
    return {
        "model": source.hugging_face or source.model_scope or source.url or volume or image or "the model",
        "revision": spec.model.revision or "main",
        "context": f"{length:,}" if length else "the model's",
    }


def failure_of(
    pod: Pod,
    named: Mapping[str, str],
    *,
    log: EngineLog | None = None,
    startup: float,
    crashes: int = CRASHES_TO_TELL,
) -> Failure | None:
    """Return why a pod does not run; `None` if nothing is wrong with it, or it is only starting.

    Args:
        pod: not one that is being removed.
        named: what sentences name, as `about` gives it.
        log: what was read of the engine's log, beside what the pod's status keeps of it.
        startup: seconds that the startup probe gives the engine.
        crashes: from how many restarts on they are told.
    """
    if failure := _failure_of_pod(pod):
        return failure
    for container in pod.containers:
        own = log if log and container.name == names.ENGINE_CONTAINER else EngineLog()
        if failure := _waiting(pod, container, named):
            return failure
        last = _last_crash(container, startup, crashes)
        if last:
            return _crashing(pod, container, last, _diagnosis(container, last, named, own, startup))
    if pod.unschedulable is not None:
        cures = "; ".join(unschedulable_cures(pod.unschedulable))
        text = pod.unschedulable + (f" ({cures})" if cures else "")
        return Failure(Reason.UNSCHEDULABLE, Outlook.OUTSIDE, text, pod.name)
    return None


def release_gpus(failures: Sequence[Failure], pods: Sequence[Pod], now: float, *, fetch: Failure | None = None) -> bool:
    """Whether the pods of a deployment should give up their GPUs, since none of them can ever work.

    That is so if no pod answers requests, and either the weights can never be fetched, or each pod that has a node
    fails in a way that is permanent for the spec, for the second time at least, and is not in a run that has lasted
    longer than the one that failed.

    Args:
        failures: of the pods.
        pods: of the deployment, old templates and those being removed included.
        now: seconds since the epoch.
        fetch: why the Job that fetches the weights has ended without them; `None` if it has not.
    """
    if any(pod.ready for pod in pods):
        return False
    if fetch is not None and fetch.outlook is Outlook.PERMANENT:
        return True
    placed = {pod.name for pod in pods if pod.node and not pod.terminating and not pod.ended}
    hopeless = {failure.pod for failure in failures if _hopeless(failure, now)}
    return bool(placed) and placed <= hopeless


def _hopeless(failure: Failure, now: float) -> bool:
    over = failure.over is not None and now >= failure.over
    return failure.outlook is Outlook.PERMANENT and failure.crashes >= CRASHES_TO_TELL and not over


def _failure_of_pod(pod: Pod) -> Failure | None:
    """Return what happened to the pod as a whole."""
    if pod.reason == "NodeLost" or pod.disruption == "DeletionByTaintManager":
        text = f"node {pod.node} is lost; the pod is replaced once the node is given up"
        return Failure(Reason.NODE_LOST, Outlook.PASSING, text, pod.name)
    if pod.phase != "Failed":
        return None
    if pod.reason == "Evicted":
        cure = (
            "raise spec.resources.memory" if "memory" in pod.message else "use a claim (spec.warmStart.cache) for files"
        )
        return Failure(Reason.POD_EVICTED, Outlook.OUTSIDE, f"evicted: {pod.message.strip()}; {cure}", pod.name)
    text = f"node {pod.node} did not take it: {pod.reason}: {pod.message.strip()}; its controller makes another pod"
    return Failure(Reason.POD_NOT_ADMITTED, Outlook.PASSING, text, pod.name)


def _waiting(pod: Pod, container: Container, named: Mapping[str, str]) -> Failure | None:
    where = f"container {container.name}"
    if container.waiting in _IMAGE_WAITS:
        text = f"{where}: image {container.image} cannot be pulled"
        why = pull_failure(container.waiting_message)
        if container.waiting == "InvalidImageName":
            text += ": it is not the name of an image; correct spec.engine.image"
        elif container.waiting == "ErrImageNeverPull":
            text += ": it is not on the node, and pulling it is forbidden"
        elif why:
            text += f": {why.what}; {why.cure}"
        return Failure(Reason.IMAGE_UNAVAILABLE, why.outlook if why else Outlook.OUTSIDE, text, pod.name)
    if container.waiting in _CREATE_WAITS:
        message = container.waiting_message or container.waiting
        if known := diagnose(message, named):
            text = f"{where}: {known.what}; {known.cure}"
            return Failure(known.reason, Outlook.OUTSIDE, text, pod.name)
        return Failure(Reason.CONTAINER_NOT_CREATED, Outlook.OUTSIDE, f"{where}: {message}", pod.name)
    return None


def _crashing(pod: Pod, container: Container, last: Exit, found: Diagnosis) -> Failure:
    crashes = container.restarts + (container.running_since is None)
    over = container.running_since + last.ran if container.running_since and last.ran is not None else None
    text = f"container {container.name} keeps exiting: {found.what}" + (f"; {found.cure}" if found.cure else "")
    return Failure(found.reason, found.outlook, text, pod.name, crashes, over)


def _last_crash(container: Container, startup: float, crashes: int) -> Exit | None:
    """Return the last exit of a container that keeps exiting.

    Between two back-offs it runs, or has just ended, for a moment: that is the same trouble, not its end and return.
    """
    last = container.last_exit
    if container.waiting == "CrashLoopBackOff":
        return last or Exit(None)
    if last is None or container.ready or container.restarts < crashes:
        return None
    return last if last.code or _by_probe(last, startup) else None


def _diagnosis(container: Container, last: Exit, named: Mapping[str, str], log: EngineLog, startup: float) -> Diagnosis:
    if last.reason == "OOMKilled":
        cure = "raise spec.resources.memory" if container.name == names.ENGINE_CONTAINER else ""
        what = "it was killed at the limit of its memory (the CPU's, not the GPU's)"
        return Diagnosis(Reason.HOST_OUT_OF_MEMORY, Outlook.OUTSIDE, what, cure)
    if known := diagnose(last.message, named) or diagnose(log.crash, named):
        return known
    if _by_probe(last, startup):
        return _stopped(last, startup)
    if last.code in _EXITS:
        reason, what, cure = _EXITS[last.code]
        return Diagnosis(reason, Outlook.OUTSIDE, what, cure)
    return Diagnosis(Reason.ENGINE_CRASHING, Outlook.OUTSIDE, _exit_words(last, log), "")


def _by_probe(last: Exit, startup: float) -> bool:
    return last.code in _STOPPED and last.ran is not None and last.ran >= startup


def _stopped(last: Exit, startup: float) -> Diagnosis:
    """Return which probe stopped it; the time that it ran tells."""
    ran = last.ran or 0.0
    if ran <= startup + _LATE_SECONDS:
        what = f"it did not answer within the {startup:,.0f} s that it has to start"
        cure = "see its log; spec.warmStart.mode Full takes the download out of the start"
        return Diagnosis(Reason.STARTUP_DEADLINE_EXCEEDED, Outlook.OUTSIDE, what, cure)
    what = f"it stopped answering after {ran:,.0f} s and was killed for that"
    return Diagnosis(Reason.LIVENESS_FAILED, Outlook.PASSING, what, "see its log and the GPU's health")


def _exit_words(last: Exit, log: EngineLog) -> str:
    words = f"exit code {'unknown' if last.code is None else last.code}"
    # The first line that the kubelet kept may lack its beginning.
    kept = last.message if len(last.message.encode()) < _KEPT_BYTES else last.message.partition("\n")[2]
    lines = telling_lines(log.crash) or telling_lines(kept)
    # Of a traceback the frames are set in, and the error is not.
    errors = [line for line in lines if not line.startswith((" ", "\t")) and not _NOISE.search(line)]
    if errors:
        return f"{words}; last line of its log: {errors[-1][:_LINE_LENGTH]}"
    if lines:
        words += "; the end of its log only points to what is above it"
    return f"{words}; {log.problem}" if log.problem else words
