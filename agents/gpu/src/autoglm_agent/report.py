"""What the agent makes of the engine: one frozen report after each period."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from autoglm_agent.engine.view import Figures
from autoglm_agent.signals.elastic import Request
from autoglm_agent.signals.progress import Verdict
from autoglm_agent.signals.tolerance import Reaction, Tolerance

#: Older figures of the engine are left out.
STALE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The judgement over the engine after its last period.

    Attributes:
        tolerance: of the pod.
        figures: what the engine did lately; `None` before the first scrape that worked.
        models: models and adapters that it serves; `None` where it does not tell.
        down: why its metrics are not to be had; empty if they are.
        errors: failed scrapes since the start, by reason.
        verdict: whether it hangs.
        hangs: times that it was found to hang since the agent started.
        fired: signals of the engine that are on, with the monotonic time from which they are.
        kv_exhausted_in: seconds until the KV cache is used up; `None` if it is not foreseen.
        pace_deviation: how much slower than usual it is; `None` where not known.
        memory_deviation: how much more memory than usual is in use; `None` where not known.
        reaction: what the deviation calls for.
        elastic: what is asked of the operator; `None` if nothing is.
        scrape_seconds: how long the last period's questions took.
    """

    tolerance: Tolerance = Tolerance.ELASTIC
    figures: Figures | None = None
    models: tuple[str, ...] | None = None
    down: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    hangs: int = 0
    fired: Mapping[str, float] = field(default_factory=dict)
    kv_exhausted_in: float | None = None
    pace_deviation: float | None = None
    memory_deviation: float | None = None
    reaction: Reaction = Reaction.NONE
    elastic: Request | None = None
    scrape_seconds: float = 0.0

    def fresh(self, now: float) -> Figures | None:
        """Return the figures if they may still be shown at the monotonic time `now`."""
        if self.figures is None or now - self.figures.sample.taken > STALE_SECONDS:
            return None
        return self.figures
