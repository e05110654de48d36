"""Decisions for 1,000 deployments of 4 pods: CPU time of a tick, with the snapshot that each is made on and without.

Each tick each engine answers with other counters, in the buckets that vLLM has; that is not timed. A run of warm-up
ticks fills the window of a minute and has the law learn, so that all of it is at work in the ticks that count.
"""

import gc
import random
import sys
import time
from array import array
from dataclasses import replace
from itertools import accumulate
from statistics import median
from typing import Any

from harness import record, spread

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.capacity import SURE, Speed
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.quantiles import Histogram
from autoglm_operator.settings import SCRAPE_SECONDS

DEPLOYMENTS = 1000
PODS = 4
INTERVAL = SCRAPE_SECONDS
WARM_UP = SURE + 10
TICKS = 30
SEED = 1
BAR_SECONDS = 1.0
#: vLLM 0.33.0's.
TTFT_BOUNDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
ITL_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
PRIOR = Speed(0.015, 0.00015, 0.000135, 256.0, 400_000.0)
SPEC = Autoscaling(max_replicas=64)


class Engine:
    """One engine under traffic of its own, and what is known of it."""

    def __init__(self, name: str, deployment: str, generator: random.Random) -> None:
        self.pod = EnginePod("bench", name, name, deployment, "10.0.0.1", ready=True, unschedulable=False)
        self.history = History(ready_since=0.0)
        self._random = generator
        self._rate = generator.uniform(0.2, 4.0)
        self._ttft = [0] * (len(TTFT_BOUNDS) + 1)
        self._itl = [0] * (len(ITL_BOUNDS) + 1)
        self._last = EngineSample(0.0, 0.0, 0.0, 0.0, None, None, itl_seconds=0.0)

    def scrape(self, now: float) -> None:
        """Serve for one interval and answer."""
        begun = int(self._rate * INTERVAL * self._random.uniform(0.5, 1.5) + self._random.random())
        gaps = begun * 250
        for _ in range(begun):
            self._ttft[self._random.randrange(6, 13)] += 1
        for place, share in ((1, 0.7), (2, 0.25), (3, 0.05)):
            self._itl[place] += int(gaps * share)
        last = self._last
        self._last = EngineSample(
            now,
            running=self._rate * 250 * 0.02,
            waiting=0.0,
            kv_cache=0.2,
            ttft=_cumulated(TTFT_BOUNDS, self._ttft),
            itl=_cumulated(ITL_BOUNDS, self._itl),
            prompt_tokens=last.prompt_tokens + begun * self._random.randrange(500, 1500),
            generation_tokens=last.generation_tokens + gaps,
            itl_seconds=(last.itl_seconds or 0.0) + gaps * self._random.uniform(0.018, 0.022),
            ended=last.ended + begun,
        )
        self.history.add(self._last)


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> Histogram:
    return Histogram(bounds, array("d", accumulate(counts)))


def main() -> int:
    """Measure and record; return 1 if the median is over the bar."""
    generator = random.Random(SEED)
    setup = Setup(ttft=2.0, itl=0.1, batch=256)
    target = Target("bench", "", "u", PODS, SPEC, 256, setup=setup, spec_prior=PRIOR, lead=120.0)
    fleet = [
        (replace(target, name=f"d-{index:04d}"), [Engine(f"d-{index:04d}-{pod}", "", generator) for pod in range(PODS)])
        for index in range(DEPLOYMENTS)
    ]
    judge, bounds = Judge(INTERVAL), bounds_of(SPEC, 0.0, None)
    judged, whole = [], []
    for tick in range(WARM_UP + TICKS):
        now = INTERVAL * (tick + 1)
        rows = [[(engine.pod, engine.history) for engine in engines] for _, engines in fleet]
        for _, engines in fleet:
            for engine in engines:
                engine.scrape(now)
        if tick == WARM_UP:
            # As the autoscaler does once it has listed everything.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
        start = time.process_time()
        snapshots = [take(row, now, INTERVAL) for row in rows]
        middle = time.process_time()
        for (deployment, _), row, snapshot in zip(fleet, rows, snapshots, strict=True):
            judge.judge(deployment, row, snapshot, bounds, now)
        end = time.process_time()
        if tick >= WARM_UP:
            judged.append(end - middle)
            whole.append(end - start)
    figures: dict[str, Any] = {
        "deployments": DEPLOYMENTS,
        "pods of each": PODS,
        f"CPU s per tick, decisions (bar {BAR_SECONDS:g})": spread(judged),
        "CPU s per tick, snapshots and decisions": spread(whole),
        "raw decisions": judged,
        "raw snapshots and decisions": whole,
    }
    record("decide", figures)
    return 1 if median(judged) > BAR_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
