"""What is measured of single requests: the totals of a replay, and what metrics show of a period.

A request counts when it arrived after the counting began. It is late when its TTFT, or the mean of its inter-token
latencies, is over the objective; what has not ended at the end is judged by what it has shown until then.
"""

from collections import deque
from collections.abc import Iterable

from autoglm_simulator.model import Engine
from autoglm_simulator.replay.plant import ITL_STEP, ITL_STEPS, TTFT_STEP, TTFT_STEPS, Totals
from autoglm_simulator.replay.settings import Fleet
from autoglm_simulator.requests import Progress, Request

P90_SECONDS = 60
"""Window over which percentiles are taken, as a query of histograms over a minute does."""


class Period:
    """Sums over one period of a policy."""

    def __init__(self) -> None:
        self.arrived = 0
        self.scheduled = 0
        self.computed_inputs = 0
        self.prefilled = 0
        self.ttft_sum = 0.0
        self.ttfts = 0
        self.gap_sum = 0.0
        self.gaps = 0
        self.outputs = 0
        self.finished = 0
        self.judged = 0
        self.late = 0
        self.batch_sum = 0.0
        self.prefill_sum = 0.0


class Meter:
    """Watches every request from its arrival to its end.

    Attributes:
        asked: When each request that has not ended arrived, which is before it reached an engine where it had to wait.
        period: Sums since the last `next_period`.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.asked: dict[Request, float] = {}
        self.period = Period()
        self._ratios: tuple[deque[tuple[float, float]], ...] = (deque(), deque())
        self.count(0.0)

    def count(self, now: float) -> None:
        """Forget the totals: requests that arrive from `now` on count."""
        self._from = now
        self._requests = 0
        self._late = 0
        self._lost = 0
        self._ttft = [0.0] * TTFT_STEPS
        self._itl = [0.0] * ITL_STEPS

    def arrive(self, time: float) -> None:
        """Take in an arrival."""
        self.period.arrived += 1
        self._requests += time >= self._from

    def reject(self, time: float) -> None:
        """Take in a request that could never run: an engine refuses it at once."""
        self._judge(time, late=True)

    def lose(self, request: Request) -> None:
        """Take in a request that ended with its replica."""
        asked = self.asked.pop(request)
        self._lost += asked >= self._from
        self._judge(asked, late=True)

    def progress(self, done: Progress) -> None:
        """Take in what a replica did."""
        period = self.period
        period.prefilled += done.prefill_tokens
        if done.decoded:
            period.gap_sum += done.decoded * (done.end - done.start)
            period.gaps += done.decoded * done.iterations
        for _, gap in done.resumed:
            period.gap_sum += gap
            period.gaps += 1
        for request in done.scheduled:
            period.scheduled += 1
            period.computed_inputs += request.prompt_tokens - request.cached_tokens
        for request in done.first_tokens:
            self._first_token(done.end, done.end - self.asked[request], self.asked[request])
        for request in done.finished:
            self._finish(request)

    def _first_token(self, now: float, ttft: float, asked: float) -> None:
        self.period.ttft_sum += ttft
        self.period.ttfts += 1
        self._ratios[0].append((now, ttft / self._fleet.ttft))
        if asked >= self._from:
            self._ttft[min(TTFT_STEPS - 1, int(ttft / TTFT_STEP))] += 1

    def _finish(self, request: Request) -> None:
        asked = self.asked.pop(request)
        first, end = request.first_token_at, request.finished_at
        if first is None or end is None:
            raise ValueError(f"a request that arrived at {asked} ended without a first token or an end.")
        self.period.finished += 1
        self.period.outputs += request.output_tokens
        itl = mean_itl(first, end, request.output_tokens)
        if request.output_tokens > 1:
            self._ratios[1].append((end, itl / self._fleet.itl))
            if asked >= self._from:
                self._itl[min(ITL_STEPS - 1, int(itl / ITL_STEP))] += 1
        self._judge(asked, late=first - asked > self._fleet.ttft or itl > self._fleet.itl)

    def _judge(self, asked: float, *, late: bool) -> None:
        self.period.judged += 1
        self.period.late += late
        self._late += late and asked >= self._from

    def slo_p90(self, now: float) -> float:
        """Return the larger of the 90th percentiles of TTFT and ITL over their objectives, over the last minute."""
        most = 0.0
        for ratios in self._ratios:
            while ratios and ratios[0][0] <= now - P90_SECONDS:
                ratios.popleft()
            if ratios:
                values = sorted(ratio for _, ratio in ratios)
                most = max(most, values[min(len(values) - 1, int(0.9 * len(values)))])
        return most

    def totals(self, now: float, waiting: Iterable[float], engines: Iterable[Engine], gpu_seconds: float) -> Totals:
        """Return what was counted.

        Args:
            now: The present.
            waiting: When the requests arrived that no engine has yet.
            engines: Those that still run something.
            gpu_seconds: GPU time billed.
        """
        fleet = self._fleet
        late = sum(asked >= self._from and now - asked > fleet.ttft for asked in waiting)
        for engine in engines:
            for request in engine.requests():
                asked = self.asked[request]
                late += asked >= self._from and self._already_late(now, asked, request, engine.generated(request))
        return Totals(self._requests, self._late + late, self._lost, gpu_seconds, list(self._ttft), list(self._itl))

    def _already_late(self, now: float, asked: float, request: Request, generated: int) -> bool:
        first = request.first_token_at
        if first is None:
            return now - asked > self._fleet.ttft
        return first - asked > self._fleet.ttft or mean_itl(first, now, generated) > self._fleet.itl


def mean_itl(first: float, last: float, tokens: int) -> float:
    """Return the mean inter-token latency of `tokens` from the first at `first` to `last`; 0 for a single one."""
    return (last - first) / (tokens - 1) if tokens > 1 else 0.0
