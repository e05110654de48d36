"""Samples of the last minute, by pod."""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from autoglm_operator.autoscaler.agent_state import Activity, AgentSample
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.decide.scaling.elastic import ELASTIC_PERIODS
from autoglm_operator.decide.scaling.quantiles import Histogram

#: Long enough for a 99th percentile at two requests a second, short enough to follow a spike.
WINDOW_SECONDS: Final = 60.0


@dataclass(slots=True)
class History:
    """What is known of one pod.

    Attributes:
        samples: oldest first; the newest may be as old as the last scrape that succeeded.
        ready_since: monotonic time when it was first seen ready.
        error: why the last scrape of the engine failed; empty if it did not.
        gpu: the last figures of the agent.
        agent_asked: monotonic time when the agent was last asked.
        activity: of the GPUs over the window, with the monotonic time of each.
        counted: the sample up to which events were counted; `None` before the first.
        requests: smaller batches that the agent asked for, one for each of its last answers in a row.
    """

    samples: deque[EngineSample] = field(default_factory=deque)
    ready_since: float | None = None
    error: str = ""
    gpu: AgentSample | None = None
    agent_asked: float | None = None
    activity: deque[tuple[float, Activity]] = field(default_factory=deque)
    counted: EngineSample | None = None
    requests: deque[int] = field(default_factory=lambda: deque(maxlen=ELASTIC_PERIODS))

    def add_agent(self, sample: AgentSample) -> None:
        """Take over what the agent says."""
        self.gpu = sample
        self.activity.append((sample.taken, sample.activity))
        while self.activity[0][0] < sample.taken - WINDOW_SECONDS:
            self.activity.popleft()
        if sample.requested_max_num_seqs is None:
            self.requests.clear()
        else:
            self.requests.append(sample.requested_max_num_seqs)

    def add(self, sample: EngineSample) -> None:
        """Take over a sample and drop what fell out of the window."""
        self.error = ""
        if self.samples:
            last = self.samples[-1]
            sample = replace(
                sample,
                ttft=_reused(sample.ttft, last.ttft),
                itl=_reused(sample.itl, last.itl),
                answer_tokens=_reused(sample.answer_tokens, last.answer_tokens),
            )
        self.samples.append(sample)
        while self.samples[0].taken < sample.taken - WINDOW_SECONDS:
            self.samples.popleft()


def _reused(new: Histogram | None, old: Histogram | None) -> Histogram | None:
    """Return `old` if it says the same as `new`: most engines are idle most of the time, and thousands are kept."""
    return old if old == new else new


#: A pod with what is known of it.
Row = tuple[EnginePod, History]


class Store:
    """The histories of all pods, by uid: a pod that is replaced under its name is another pod."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}

    def __len__(self) -> int:
        return len(self._histories)

    def history(self, uid: str) -> History:
        """Return the history of a pod, an empty one if it is new."""
        return self._histories.setdefault(uid, History())

    def forget(self, uid: str) -> None:
        """Drop a pod that is gone."""
        self._histories.pop(uid, None)
