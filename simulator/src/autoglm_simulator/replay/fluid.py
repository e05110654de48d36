"""A fleet as a fluid in steps of one second, for weeks of traffic.

In each second the requests that arrive are shared equally by the ready replicas. A replica spends the share
`u = prompt tokens per second x prefill time per token` on prefill and the rest on decoding its batch, so that

```
ITL  = (decode_base + decode_per_sequence x batch) / (1 - u)
TTFT = queue / admissions per second + prompt x prefill_per_token / (1 - u/2) + ITL
```

Requests wait while the batches are full (`max_batch`, or the KV cache) or prefill takes `MOST_PREFILL` of the time.
A request is late if, in the second it arrives, TTFT or ITL is over its objective. A fleet without ready replicas only
queues. Replicas that are removed stop when what they run has ended, or at the deadline, and are billed until then.
"""

import math
import random

from autoglm_simulator.replay.plant import (
    ITL_STEP,
    ITL_STEPS,
    TTFT_STEP,
    TTFT_STEPS,
    Observation,
    Totals,
)
from autoglm_simulator.replay.settings import Fleet
from autoglm_simulator.replay.traffic import Traffic

MOST_PREFILL = 0.9
"""Share of its time that a replica spends on prefill at most while requests decode."""
P90 = 1.2
"""90th percentile over the mean of the requests of one second, which in a fluid are all alike. Chosen so that llm-d's
law costs what a published study of the same plant found, with its defaults and with tuned thresholds."""
MOST_RATIO = 2.0
"""Latency over objective counts as this at most in the mean of a period."""
_LEAST = 1e-9
_LAST = 0.5
"""Fewer requests than this are the end of a drain."""


class FluidPlant:
    """A `Plant` of equal replicas with an ideal router.

    Args:
        fleet: Speed, limits, objectives and bounds.
        traffic: What arrives in each second.
        initial: Replicas that are ready at the start.
        seed: Of the start times.
        undrain: Whether replicas that still drain serve again if more are ordered: for every policy alike.
    """

    def __init__(self, fleet: Fleet, traffic: Traffic, initial: int, seed: int, *, undrain: bool = False) -> None:
        self._fleet = fleet
        self._arrivals = traffic.arrivals
        self._inputs = traffic.input_tokens
        self._outputs = traffic.output_tokens
        self._random = random.Random(seed)
        self._undrain = undrain
        self._now = 0
        self._ordered = initial
        self._ready = initial
        self._starting: list[float] = []
        self._running = 0.0
        self._queue = 0.0
        self._input = 0.0  # tokens per request of the batch, as they come in
        self._output = 0.0
        self._draining: list[Drain] = []
        self.count()

    def count(self) -> None:
        """Forget the totals: what comes from now on counts."""
        self._requests = 0.0
        self._late = 0.0
        self._lost = 0.0
        self._gpu_seconds = 0.0
        self._ttft = [0.0] * TTFT_STEPS
        self._itl = [0.0] * ITL_STEPS

    def totals(self) -> Totals:
        """Return what was counted."""
        return Totals(self._requests, self._late, self._lost, self._gpu_seconds, self._ttft, self._itl)

    def scale(self, replicas: int) -> None:
        """Ask for `replicas` from now on: the newest that start are given up first, then serving ones drain."""
        fleet = self._fleet
        wanted = max(fleet.min_replicas, min(fleet.max_replicas, replicas))
        change = wanted - self._ordered
        self._ordered = wanted
        if change > 0:
            if self._undrain:
                change -= self._take_back(change)
            for _ in range(change):
                self._starting.append(self._now + fleet.cold_start.draw(self._random))
        elif change < 0:
            kept = max(0, len(self._starting) + change)
            removed = -change - (len(self._starting) - kept)
            del self._starting[kept:]
            if removed:
                self._drain(removed)

    def _take_back(self, wanted: int) -> int:
        """Let up to `wanted` replicas that drain serve again, the last removed first; return how many do."""
        taken = 0
        while self._draining and taken < wanted:
            drain = self._draining[-1]
            count = min(wanted - taken, drain.replicas)
            running = drain.running * count / drain.replicas
            self._running += running
            self._ready += count
            drain.running -= running
            drain.replicas -= count
            if not drain.replicas:
                self._draining.pop()
            taken += count
        return taken

    def _drain(self, removed: int) -> None:
        running = self._running * removed / self._ready
        self._running -= running
        self._ready -= removed
        self._draining.append(Drain(removed, running, self._output, self._now + self._fleet.drain_deadline))

    def advance(self, until: int) -> Observation:  # noqa: PLR0915 (one loop, kept whole for its speed)
        """Run to `until` seconds and return what was measured since the last call."""
        fleet = self._fleet
        base, slope, prefill = fleet.decode_base, fleet.decode_per_sequence, fleet.prefill_per_token
        ttft_objective, itl_objective = fleet.ttft, fleet.itl
        max_batch, kv_tokens = fleet.max_batch, fleet.kv_tokens
        gpus = fleet.gpus_per_replica
        running, queue = self._running, self._queue
        mean_input, mean_output = self._input, self._output
        ready = self._ready
        arrived = prompts = answers = ttfts = itls = late_sum = batches = prefilled = 0.0
        ratios = 0.0
        start = self._now
        for second in range(start, until):
            self._now = second
            if self._starting:
                ready = self._start(second)
            if self._draining:
                self._drain_one_second()
            arrivals = self._arrivals[second]
            inputs = self._inputs[second]
            outputs = self._outputs[second]
            share = arrivals / (running + queue + arrivals + _LEAST)
            mean_input += (inputs - mean_input) * share
            mean_output += (outputs - mean_output) * share
            queue += arrivals
            if ready:
                places = ready * min(max_batch, kv_tokens / (mean_input + mean_output / 2 + _LEAST)) - running
                admitted = min(queue, MOST_PREFILL * ready / (prefill * mean_input + _LEAST), max(0.0, places))
                queue -= admitted
                used = admitted * prefill * mean_input / ready
                itl = (base + slope * running / ready) / (1.0 - used)
                waits = queue / (admitted + _LEAST) if queue > _LEAST else 0.0
                ttft = waits + inputs * prefill / (1.0 - used / 2) + itl
                batches += running / ready
                prefilled += admitted * mean_input / ready
                running += admitted
                running -= running * min(1.0, 1.0 / (mean_output * itl + _LEAST))
            else:
                itl = 0.0
                ttft = 2 * ttft_objective + queue
            ratio = max(ttft / ttft_objective, itl / itl_objective)
            late = arrivals if ratio > 1.0 else 0.0
            arrived += arrivals
            prompts += arrivals * inputs
            answers += arrivals * outputs
            ratios += min(P90 * ratio, MOST_RATIO)
            ttfts += arrivals * ttft
            itls += arrivals * itl
            late_sum += late
            self._gpu_seconds += gpus * (ready + len(self._starting))
            self._ttft[min(TTFT_STEPS - 1, int(min(ttft, 1e6) / TTFT_STEP))] += arrivals
            self._itl[min(ITL_STEPS - 1, int(itl / ITL_STEP))] += arrivals
        self._now = until
        self._running, self._queue = running, queue
        self._input, self._output = mean_input, mean_output
        self._requests += arrived
        self._late += late_sum
        seconds = float(max(1, until - start))
        weight = arrived + _LEAST
        tokens = running * (mean_input + mean_output / 2)
        return Observation(
            now=float(until),
            seconds=seconds,
            arrivals=arrived / seconds,
            input_tokens=prompts / weight,
            output_tokens=answers / weight,
            running=running,
            waiting=queue,
            kv=min(1.0, tokens / (kv_tokens * ready)) if ready else 0.0,
            tokens_in_use=tokens,
            batch=batches / seconds,
            prefill_rate=prefilled / seconds,
            ttft=ttfts / weight,
            itl=itls / weight,
            slo_p90=ratios / seconds,
            requests=arrived,
            late=late_sum,
            ready=ready,
            starting=len(self._starting),
            ordered=self._ordered,
        )

    def _start(self, second: int) -> int:
        """Move the replicas that are up to the ready ones and return how many are ready."""
        kept = [when for when in self._starting if when > second]
        self._ready += len(self._starting) - len(kept)
        self._starting = kept
        return self._ready

    def _drain_one_second(self) -> None:
        fleet = self._fleet
        kept: list[Drain] = []
        for drain in self._draining:
            self._gpu_seconds += fleet.gpus_per_replica * drain.replicas
            itl = fleet.decode_base + fleet.decode_per_sequence * drain.running / drain.replicas
            drain.running -= drain.running * min(1.0, 1.0 / (drain.output * itl + _LEAST))
            if self._now + 1 >= drain.deadline:
                self._lost += drain.running
            elif drain.running >= _LAST:
                kept.append(drain)
        self._draining = kept


class Drain:
    """Replicas that finish what they run and then go."""

    def __init__(self, replicas: int, running: float, output: float, deadline: float) -> None:
        self.replicas = replicas
        self.running = running
        self.output = output
        self.deadline = deadline


def safe_rate(fleet: Fleet, input_tokens: float, output_tokens: float, share: float = 1.0) -> float:
    """Return the requests per second of one replica at which steady traffic just meets the objectives.

    Args:
        fleet: Speed, limits and objectives.
        input_tokens: Prompt tokens per request.
        output_tokens: Output tokens per request.
        share: Mean rate over the rate asked about: below 1, the answer is a burst on top of a smaller batch.
    """
    low, high = 0.0, MOST_PREFILL / (fleet.prefill_per_token * input_tokens + _LEAST)
    for _ in range(50):
        rate = (low + high) / 2
        mean = rate * share
        decoding = (
            1.0 - mean * fleet.prefill_per_token * input_tokens - mean * output_tokens * fleet.decode_per_sequence
        )
        batch = mean * output_tokens * fleet.decode_base / decoding if decoding > 0 else math.inf
        itl = (fleet.decode_base + fleet.decode_per_sequence * batch) / (
            1.0 - rate * fleet.prefill_per_token * input_tokens
        )
        fits = min(fleet.max_batch, fleet.kv_tokens / (input_tokens + output_tokens / 2 + _LEAST))
        if itl <= fleet.itl and batch <= fits:
            low = rate
        else:
            high = rate
    return low
