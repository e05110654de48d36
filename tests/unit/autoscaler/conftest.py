"""Expositions of engines, histories of pods, and clocks that stand still."""

from array import array

import pytest

from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.quantiles import Histogram

BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0)


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def histogram():
    """Make a histogram from counts that are not cumulative."""

    def make(*counts, bounds=BOUNDS):
        total, cumulative = 0.0, []
        for count in (*counts, *[0] * (len(bounds) + 1 - len(counts))):
            total += count
            cumulative.append(total)
        return Histogram(bounds, array("d", cumulative))

    return make


@pytest.fixture
def sample(histogram):
    def make(taken, *, running=0, waiting=0, kv=0.0, ttft=(), itl=()):
        return EngineSample(taken, running, waiting, kv, histogram(*ttft), histogram(*itl))

    return make


@pytest.fixture
def pod():
    def make(name="phone-7d4f-aaaaa", *, ready=True, unschedulable=False):
        return EnginePod("prod", name, f"uid-{name}", "phone", "10.0.0.1", ready, unschedulable)

    return make


@pytest.fixture
def history():
    def make(*samples, ready_since=0.0):
        made = History(ready_since=ready_since)
        for item in samples:
            made.add(item)
        return made

    return make
