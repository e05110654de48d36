"""What the starts of pods teach, for `status.coldStart`: pure."""

from collections.abc import Mapping
from typing import Any

from autoglm_operator.decide.start.coldstart import learn, timeline
from autoglm_operator.observe.fetch import ANNOTATION_WEIGHTS
from autoglm_operator.observe.pod import seconds
from autoglm_operator.observe.world import Observed


def cold_start(observed: Observed) -> Mapping[str, Any]:
    """Return `status.coldStart` with the pods taken in that have become ready since it was written."""
    fetch = _fetch(observed)
    logs = {uid: log.start for uid, log in observed.logs.items()}
    starts = (timeline(pod, logs.get(pod.uid), fetch) for pod in observed.pods if pod.worker == 0)
    return learn(observed.deployment.status.get("coldStart"), filter(None, starts), observed.template)


def _fetch(observed: Observed) -> tuple[float, float] | None:
    """Return begin and end of the download that the pods waited for, in seconds since the epoch."""
    for (_, kind, _), job in observed.children.items():
        status = job.get("status") or {}
        begin, end = seconds(status.get("startTime")), seconds(status.get("completionTime"))
        if kind == "Job" and begin and end and ANNOTATION_WEIGHTS in (job["metadata"].get("annotations") or {}):
            return begin, end
    return None
