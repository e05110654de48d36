"""When to try a download, and when to leave it: a pure function of the Jobs there were and of now."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.fetch import FetchRun

_FIRST_PAUSE_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 1800.0
_JITTER: Final = 0.2
_DOUBLINGS: Final = 10

#: How to mend what will not pass by itself, by the download's reason. It is not tried again until the spec changes.
FIXES: Final[Mapping[str, str]] = {
    "HubTokenRefused": "set spec.model.tokenSecretRef to a Secret with a valid token",
    "ModelGated": "ask for access on the model's page, and set spec.model.tokenSecretRef to a token of that account",
    "ModelNotFound": "correct spec.model.source; a private model needs spec.model.tokenSecretRef",
    "RevisionNotFound": "correct spec.model.revision",
    "NoWeights": "name the repository that holds the original weights as safetensors",
    "ListingRefused": "check spec.model.hubEndpoint: what answers there does not list files as that hub does",
    "RequestRefused": "check spec.model.source and spec.model.hubEndpoint",
    "IntegrityFailed": "check the mirror or proxy in between (spec.model.hubEndpoint), or remove it",
    "DiskFull": "enlarge spec.warmStart.cache.size, or remove folders of models that are not used any more",
    "CacheUnusable": "use another claim or class in spec.warmStart.cache",
}

#: Reasons of downloads that pass, and the condition's.
_PASSING: Final[Mapping[str, Reason]] = {
    "HubRateLimited": Reason.HUB_RATE_LIMITED,
    "HubUnreachable": Reason.HUB_UNREACHABLE,
    "DownloadTooSlow": Reason.DOWNLOAD_TOO_SLOW,
    "DownloadInterrupted": Reason.DOWNLOAD_INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Next:
    """What to do about a download.

    Attributes:
        attempt: number of the Job to make now; `None` to make none.
        keep: name of the Job to leave as it is; `None` for none.
        again: seconds until that can change by itself; `None` if only by an event.
        failed: the run that failed and was not followed by another.
        done: the run that succeeded.
    """

    attempt: int | None = None
    keep: str | None = None
    again: float | None = None
    failed: FetchRun | None = None
    done: FetchRun | None = None

    @property
    def hopeless(self) -> bool:
        """Whether a person has to change something first."""
        return self.failed is not None and is_permanent(self.failed)


def decide_next(runs: Iterable[FetchRun], request: str, weights: str, now: float) -> Next:
    """Return what to do, given the Jobs that are.

    Args:
        runs: all that the deployment has.
        request: hash of what would be asked now.
        weights: which files are wanted, on which claim.
        now: seconds since the epoch.
    """
    mine = [run for run in runs if run.weights == weights]
    done = next((run for run in mine if run.succeeded), None)
    if done is not None:
        # Another token or mirror does not change the files that are there.
        return Next(keep=done.job, done=done)
    last = max((run for run in mine if run.request == request), key=lambda run: run.attempt, default=None)
    if last is None:
        return Next(attempt=1)
    if last.ended is None:
        return Next(keep=last.job)
    if is_permanent(last):
        return Next(keep=last.job, failed=last)
    left = last.ended + pause_seconds(last.job, last.attempt) - now
    if left > 0:
        return Next(keep=last.job, again=left, failed=last)
    return Next(attempt=last.attempt + 1, failed=last)


def is_permanent(run: FetchRun) -> bool:
    """Whether trying again is of no use; it may be of use if there is no last word, as when the pod was evicted."""
    return run.outcome is not None and run.outcome.reason in FIXES


def pause_seconds(job: str, attempt: int) -> float:
    """Return the pause after the failed `attempt`: twice as long each time, up to half an hour.

    The jitter comes from the Job's name: deployments that a hub throttled together do not come back together, and the
    same history gives the same pause.
    """
    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, _DOUBLINGS))
    share = int.from_bytes(hashlib.sha256(job.encode()).digest()[:4], "big") / 2**32
    return pause * (1 + _JITTER * share)


def explain(run: FetchRun, again: float | None) -> tuple[Reason, str]:
    """Return the reason of a failed run, and a sentence with the cure or the next attempt."""
    outcome = run.outcome
    what = outcome.message if outcome else "it ended without a last word: see `kubectl describe job` for its pod"
    if outcome and is_permanent(run):
        cure = f"{FIXES[outcome.reason]}; to try again without a change, delete Job {run.job}"
        return Reason(outcome.reason), f"{what}; {cure}"
    reason = _PASSING.get(outcome.reason, Reason.DOWNLOAD_FAILED) if outcome else Reason.DOWNLOAD_FAILED
    when = f"in {again:.0f} s" if again is not None else "now"
    return reason, f"{what}; attempt {run.attempt} failed, the next one follows {when}"
