"""One period of the engine's watch: ask, judge, keep the report, and tell what changed."""

import logging
from collections.abc import Callable
from typing import Final

from autoglm_agent.engine.health import EngineState
from autoglm_agent.engine.sample import EngineSample
from autoglm_agent.engine.view import EngineView, Figures
from autoglm_agent.engine.watch import EngineWatch
from autoglm_agent.report import EngineReport
from autoglm_agent.signals.catalogue import DEVIATION, KV, KV_SOON, PREEMPTION
from autoglm_agent.signals.elastic import ElasticBatch, Request
from autoglm_agent.signals.memory import MemorySignals, urgency
from autoglm_agent.signals.progress import Limits, Verdict, Watchdog
from autoglm_agent.signals.tolerance import MODES, Deviation, Reaction, Tolerance, signal
from autoglm_agent.signals.window import Trend

_logger = logging.getLogger(__name__)

#: Seconds between two looks at the engine, at least: rendering its metrics takes milliseconds of its threads.
PERIOD_SECONDS: Final = 2.0
_HEALTH_SECONDS: Final = 3.5


class EngineMonitor:
    """Watches one engine; one thread calls `check`, others read `watch.status` and `report`.

    Args:
        watch: asks the engine.
        clock: monotonic time in seconds.
        tolerance: of the pod.
        memory: returns the present signals of the GPUs' memory.
        limits: patience of the watchdog.
        on_hang: called once when the engine is found to hang, to capture evidence.
        on_restart: called when the engine came up again.
        on_progress: called when the engine has generated tokens since the scrape before.
    """

    def __init__(
        self,
        watch: EngineWatch,
        clock: Callable[[], float],
        *,
        tolerance: Tolerance = Tolerance.ELASTIC,
        memory: Callable[[], MemorySignals] = MemorySignals,
        limits: Limits | None = None,
        on_hang: Callable[[], object] = lambda: None,
        on_restart: Callable[[], None] = lambda: None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.watch = watch
        self.report = EngineReport(tolerance=tolerance)
        self._clock = clock
        self._tolerance = tolerance
        self._memory = memory
        self._on_hang = on_hang
        self._on_restart = on_restart
        self._on_progress = on_progress
        self._tokens: float | None = None
        self._view = EngineView()
        self._watchdog = Watchdog(limits)
        self._deviation = Deviation()
        self._elastic = ElasticBatch(tolerance)
        self._kv = Trend()
        self._gates = {each: each.gate() for each in (KV, KV_SOON, PREEMPTION, signal(tolerance))}

    def check(self) -> None:
        """Look at the engine once."""
        began, before = self._clock(), self.watch.status.state
        if self._health_due(began):
            self.watch.check()
        sample = self.watch.scrape()
        if self.watch.status.state is EngineState.ALIVE:
            self.watch.refresh_models()
        returned = before is EngineState.UNREACHABLE and self.watch.status.state is EngineState.ALIVE
        self._judge(sample, self._clock() - began, returned=returned)

    def _health_due(self, now: float) -> bool:
        """Tell whether to ask for its health: less often while its metrics, from the same server, answer anyway."""
        status = self.watch.status
        if status.state is not EngineState.ALIVE or self.watch.down or status.checked is None:
            return True
        return now - status.checked >= _HEALTH_SECONDS

    def _judge(self, sample: EngineSample | None, seconds: float, *, returned: bool) -> None:
        figures = self._view.add(sample) if sample else self.report.figures
        if returned or (sample and figures and figures.restarted):
            self._restarted()
        self._note_progress(sample)
        now = self._clock()
        verdict = self._watchdog.update(sample) if sample else self._watchdog.unreachable(now)
        seen = figures if sample else None
        self._deviation.update(
            seen.pace if seen else None, seen.sample.running if seen else 0.0, self._memory().share if seen else None
        )
        fired = self._fired(seen, now)
        reaction = MODES[self._tolerance].reaction if DEVIATION in fired else Reaction.NONE
        causes = (*fired, *self._memory().fired)
        elastic = self._elastic.update(causes, seen.sample.running, now) if seen else self.report.elastic
        before = self.report
        self.report = EngineReport(
            tolerance=self._tolerance,
            figures=figures,
            models=self.watch.models,
            down=self.watch.down,
            errors=dict(self.watch.errors),
            verdict=verdict,
            hangs=before.hangs + (verdict.hung and not before.verdict.hung),
            fired=fired,
            kv_exhausted_in=self._kv.seconds_to(1.0) if seen else None,
            pace_deviation=self._deviation.pace,
            memory_deviation=self._deviation.memory,
            reaction=reaction,
            elastic=elastic,
            scrape_seconds=seconds,
        )
        self._tell(before)

    def _note_progress(self, sample: EngineSample | None) -> None:
        """Say that the engine generates: an error on its GPU was then not its own."""
        before, self._tokens = self._tokens, sample.generation_tokens if sample else None
        if before is not None and self._tokens is not None and self._tokens > before:
            self._on_progress()

    def _restarted(self) -> None:
        self._watchdog.restart()
        self._deviation.forget_memory()
        self._on_restart()

    def _fired(self, figures: Figures | None, now: float) -> dict[str, float]:
        usage = figures.sample.kv_cache if figures else None
        self._kv.add(usage, now)
        values = (
            usage,
            urgency(usage, self._kv.seconds_to(1.0)) if figures else None,
            figures.preemption_rate if figures else None,
            self._deviation.value,
        )
        for gate, value in zip(self._gates.values(), values, strict=True):
            gate.update(value, now)
        return {each.name: gate.since for each, gate in self._gates.items() if gate.fired}

    def _tell(self, before: EngineReport) -> None:
        """Log what changed, and capture evidence of a hang."""
        after = self.report
        for name in sorted(after.fired.keys() ^ before.fired.keys()):
            on = name in after.fired
            _logger.log(
                logging.WARNING if on else logging.INFO,
                "engine signal",
                extra={"signal": name, "state": "on" if on else "off"},
            )
        if after.reaction is not before.reaction:
            _logger.warning("deviation from the usual", extra=_deviation(after))
        if after.elastic != before.elastic:
            _logger.info("batch request", extra=_asked(after.elastic))
        self._tell_verdict(before.verdict, after.verdict)

    def _tell_verdict(self, before: Verdict, after: Verdict) -> None:
        if after.hung and not before.hung:
            _logger.error("engine hangs", extra={"reason": after.reason})
            self._on_hang()
        if before.hung and not after.hung:
            _logger.info("engine hangs no longer", extra={"reason": after.reason})


def _deviation(report: EngineReport) -> dict[str, object]:
    return {
        "tolerance": report.tolerance.value,
        "reaction": report.reaction.value,
        "pace": report.pace_deviation,
        "memory": report.memory_deviation,
    }


def _asked(request: Request | None) -> dict[str, object]:
    if request is None:
        return {"requestedMaxNumSeqs": None, "reason": "calm: the request is withdrawn"}
    return {"requestedMaxNumSeqs": request.max_num_seqs, "reason": request.reason}
