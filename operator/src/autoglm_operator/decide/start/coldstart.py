"""How long replicas take from wanted to answering, by stage: measured on each pod, learned over the last ones.

What is learned lives in `status.coldStart` and nowhere else: it outlives the operator, and the autoscaler reads it
there. It changes only when another pod has become ready.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api.types import rfc3339
from autoglm_operator.observe.pod import Pod, seconds
from autoglm_operator.observe.start_log import Start

#: In the order in which a pod goes through them. `start` stands for the last five where the log does not tell them.
STAGES: Final = ("schedule", "pull", "init", "download", "load", "compile", "ready", "start")
#: Pods that are learned from: the last ones, since caches fill and nodes change.
RECENT: Final = 9
#: A pod that became ready this long after its engine said it serves has been ready before, and lost it for a while.
_AGAIN_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The start of one pod.

    Attributes:
        template: hash of its pod template.
        ready_at: seconds since the epoch.
        total: seconds from creation to ready.
        stages: seconds of each stage that is known, by name, in order.
    """

    template: str
    ready_at: float
    total: float
    stages: Mapping[str, float]


def timeline(pod: Pod, start: Start | None, fetch: tuple[float, float] | None = None) -> Timeline | None:
    """Return the start of a pod; `None` if it is not ready, or what is known is not that of its first start.

    Args:
        pod: ready at present.
        start: what the log of its engine says.
        fetch: begin and end of the Job that fetched the weights, in seconds since the epoch. The part of it that the
            pod waited for counts as its download.
    """
    engine = pod.engine
    if not pod.ready or pod.ready_since is None or pod.created is None or pod.scheduled is None:
        return None
    if engine is None or engine.running_since is None or engine.restarts:
        return None
    start = start or Start()
    if start.serves is not None and pod.ready_since > start.serves + _AGAIN_SECONDS:
        return None
    began = engine.running_since
    waited = max(0.0, min(fetch[1], began) - max(fetch[0], pod.scheduled)) if fetch else 0.0
    download = waited + (start.download_seconds or 0.0)
    stages = {
        "schedule": pod.scheduled - pod.created,
        "pull": began - pod.scheduled - waited,
        "download": download or None,
    }
    if start.load_begin is None or start.load_end is None:
        stages["start"] = pod.ready_since - began
    else:
        compiled = max(start.compiled or start.load_end, start.load_end)
        stages |= {
            "init": start.load_begin - began - (start.download_seconds or 0.0),
            "load": start.load_end - start.load_begin,
            "compile": compiled - start.load_end,
            "ready": pod.ready_since - compiled,
        }
    # Clocks of node and control plane differ, and conditions carry whole seconds.
    known = {name: max(0.0, took) for name in STAGES if (took := stages.get(name)) is not None}
    return Timeline(pod.template, pod.ready_since, pod.ready_since - pod.created, known)


def observed_until(learned: Mapping[str, Any] | None) -> float:
    """Return the time, in seconds since the epoch, up to which pods that became ready have been learned from."""
    return seconds((learned or {}).get("observedAt")) or 0.0


def learn(learned: Mapping[str, Any] | None, timelines: Iterable[Timeline], template: str | None) -> Mapping[str, Any]:
    """Return `status.coldStart` with the timelines that are new taken in; the same as before if there are none.

    Args:
        learned: what was known.
        timelines: of pods that are ready; those known already may be among them.
        template: hash of the newest pod template. What another one took says little of this one, and is dropped.
    """
    before = dict(learned or {})
    new = sorted(
        (item for item in timelines if item.template == template and item.ready_at > observed_until(before)),
        key=lambda item: item.ready_at,
    )
    if not new:
        return before
    if before.get("template") != template:
        before = {}
    recent = {item["name"]: list(item["recentSeconds"]) for item in before.get("stages", [])}
    totals = list(before.get("recentTotalSeconds", []))
    for item in new:
        totals.append(round(item.total))
        for name, took in item.stages.items():
            recent.setdefault(name, []).append(round(took))
    totals = totals[-RECENT:]
    return {
        "template": template,
        "observedAt": rfc3339(new[-1].ready_at),
        "samples": before.get("samples", 0) + len(new),
        "totalSeconds": quantile(totals, 0.5),
        "totalP90Seconds": quantile(totals, 0.9),
        "recentTotalSeconds": totals,
        "stages": [_stage(name, recent[name][-RECENT:]) for name in STAGES if name in recent],
    }


def _stage(name: str, recent: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "lastSeconds": recent[-1],
        "medianSeconds": quantile(recent, 0.5),
        "p90Seconds": quantile(recent, 0.9),
        "recentSeconds": recent,
    }


def quantile(values: Sequence[int], share: float) -> int:
    """Return the smallest of `values` that at least `share` of them do not exceed; one slow pod moves no median."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
