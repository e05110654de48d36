"""Downloads of a model's files, as facts: the Jobs that bring them, and the last words of their pods."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.observe.owner import controller_of
from autoglm_operator.observe.pod import Pod, seconds

Document = Mapping[str, Any]

#: On the pods of a download, instead of the label of engine pods: no Service or budget may count them.
LABEL_FETCH: Final = f"{names.GROUP}/fetch"
#: On Jobs and workloads: which files, on which claim.
ANNOTATION_WEIGHTS: Final = f"{names.GROUP}/weights"
#: On Jobs: hash of everything in the spec that a download depends on.
ANNOTATION_REQUEST: Final = f"{names.GROUP}/fetch-request"
#: On Jobs: how many of the same request there were, this one included.
ANNOTATION_ATTEMPT: Final = f"{names.GROUP}/fetch-attempt"
FETCH_CONTAINER: Final = "fetch"
_JOB_LABEL: Final = "batch.kubernetes.io/job-name"
_MESSAGE_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a download left as its last word.

    Attributes:
        reason: one of the download's own reasons, such as `Downloaded` or `ModelGated`.
        message: the sentence that goes with it.
        bytes: of all files that are there.
        seconds: that the download took.
        rate: bytes per second; `None` if not measured.
        revision: commit of the files.
        config: the model's config.json, if it was small enough to be told.
    """

    reason: str
    message: str
    bytes: int = 0
    seconds: float = 0.0
    rate: int | None = None
    revision: str = ""
    config: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the outcome in a termination message; `None` if it is not one, such as the end of a log."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return cls.of(found) if isinstance(found, dict) else None

    @classmethod
    def of(cls, found: Document) -> Self | None:
        """Return the outcome in a document; `None` if it is not one."""
        reason, message = found.get("reason"), found.get("message", "")
        if not (isinstance(reason, str) and reason and isinstance(message, str)):
            return None
        rate, config, revision = found.get("bytesPerSecond"), found.get("config"), found.get("revision")
        return cls(
            reason=reason,
            message=message[:_MESSAGE_CHARACTERS],
            bytes=int(_number(found.get("bytes"))),
            seconds=_number(found.get("seconds")),
            rate=int(_number(rate)) or None,
            revision=revision if isinstance(revision, str) else "",
            config=config if isinstance(config, dict) else None,
        )


def _number(found: object) -> float:
    """Return a finite number that is not negative; 0 for anything else."""
    good = isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < float("inf")
    return float(found) if good and isinstance(found, int | float) else 0.0


@dataclass(frozen=True, slots=True)
class FetchRun:
    """One Job.

    Attributes:
        weights: which files it brings, as its annotation says.
        request: hash of what it was asked, as its annotation says.
        attempt: 1 for the first.
        ended: when, in seconds since the epoch; `None` while it runs.
        succeeded: whether the files are there.
        outcome: its last word; `None` if it left none, or its pod is gone.
        trouble: the cluster's words for why its pod does not run, with the kind of trouble; `None` if it does.
    """

    job: str
    weights: str
    request: str
    attempt: int
    ended: float | None = None
    succeeded: bool = False
    outcome: Outcome | None = None
    trouble: tuple[str, str] | None = None

    @classmethod
    def of(cls, job: Document, pod: Pod | None) -> Self:
        """Return the run of a Job and its newest pod."""
        notes = job["metadata"].get("annotations") or {}
        conditions = {item["type"]: item for item in (job.get("status") or {}).get("conditions") or []}
        complete, failed = (conditions.get(kind, {}) for kind in ("Complete", "Failed"))
        over = next((item for item in (complete, failed) if item.get("status") == "True"), None)
        attempt = str(notes.get(ANNOTATION_ATTEMPT, ""))
        return cls(
            job=job["metadata"]["name"],
            weights=notes.get(ANNOTATION_WEIGHTS, ""),
            request=notes.get(ANNOTATION_REQUEST, ""),
            attempt=int(attempt) if attempt.isdecimal() else 1,
            ended=None if over is None else (seconds(over.get("lastTransitionTime")) or 0.0),
            succeeded=over is not None and over is complete,
            outcome=_last_word(pod),
            trouble=_trouble(pod),
        )


def _last_word(pod: Pod | None) -> Outcome | None:
    for container in pod.containers if pod else ():
        if container.name == FETCH_CONTAINER and container.last_exit is not None:
            return Outcome.parse(container.last_exit.message)
    return None


def _trouble(pod: Pod | None) -> tuple[str, str] | None:
    if pod is None:
        return None
    if pod.unschedulable is not None:
        return "Unschedulable", pod.unschedulable
    for container in pod.containers:
        if container.waiting in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
            return "ImageUnavailable", f"image {container.image} cannot be pulled: {container.waiting_message}"
        if container.waiting in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
            return "ContainerNotCreated", container.waiting_message or container.waiting
    return None


def fetch_pod_of(pod: Document) -> tuple[str, str] | None:
    """Return the names of the AutoGLMDeployment and of the Job that a pod belongs to; `None` if it is no download."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    owner, job = labels.get(LABEL_FETCH, ""), labels.get(_JOB_LABEL, "")
    maker = controller_of(pod)
    ours = owner and job and maker is not None and maker["kind"] == "Job" and maker["name"] == job
    return (owner, job) if ours else None


def config_told(pods: Iterable[Pod]) -> Mapping[str, Any] | None:
    """Return the model's config.json as the newest download told it; `None` if none did."""
    told = [outcome.config for pod in pods if (outcome := _last_word(pod)) is not None and outcome.config]
    return told[-1] if told else None
