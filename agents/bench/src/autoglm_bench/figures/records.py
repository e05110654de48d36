"""Every request of a run in columns: a million tokens are a few megabytes."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from autoglm_bench.figures.score import has_action
from autoglm_bench.result import LATE_SECONDS, Answer, Cause

CAUSES: Final = tuple(Cause)
_NONE: Final = -1
#: Causes whose failures are quoted, and how many of each.
_QUOTED: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, and when it was to be asked.

    Attributes:
        session: number of its session.
        step: position in its session.
        phase: index of its phase.
        due: when it was to be sent, in seconds from the start of the load.
        reusable_tokens: about how much of its prompt the engine had seen before.
        id: of the user's own request; empty if it was made.
    """

    session: int
    step: int
    phase: int
    due: float
    reusable_tokens: int = 0
    id: str = ""


class Records:
    """The requests of a run, one row each in the order of their ends; times are seconds from its start.

    Attributes:
        due, sent: when the request was to be sent, and was.
        ttft: from sending to the first token; not a number if there was none.
        duration: from sending to the end.
        connect: of this, until the connection was there; not a number if it was kept from before.
        itl: mean time between its pieces; not a number if there were fewer than two.
        output_tokens, pieces: tokens received, and the events they came in.
        prompt_tokens, cached_tokens: as the engine counts them; -1 if it does not tell.
        reusable_tokens: about how much of the prompt the engine had seen before.
        cause: index in `CAUSES`; -1 if the request succeeded.
        phase, session, step: where it belongs.
        itls: for each phase, the times between pieces of the requests that succeeded. Single precision: seven digits.
        texts: answers that are kept, by id.
        details: for each cause, what was seen of the first failures.
        no_usage: successful requests without usage numbers.
        actions: answers that hold an action of the phone agent; `None` if none has to.
    """

    def __init__(self, phases: Iterable[str], *, expects_actions: bool = False) -> None:
        self.phases = list(phases)
        self.due, self.sent = array("d"), array("d")
        self.ttft, self.duration, self.connect, self.itl = array("d"), array("d"), array("d"), array("d")
        self.output_tokens, self.pieces = array("l"), array("l")
        self.prompt_tokens, self.cached_tokens, self.reusable_tokens = array("l"), array("l"), array("l")
        self.cause, self.phase = array("b"), array("H")
        self.session, self.step = array("L"), array("L")
        self.itls = [array("f") for _ in self.phases]
        self.pace_sum, self.pace_count = array("d"), array("L")
        self.texts: dict[str, str] = {}
        self.details: dict[Cause, list[str]] = {}
        self.no_usage = 0
        self.actions: int | None = 0 if expects_actions else None

    def __len__(self) -> int:
        return len(self.due)

    def add_phase(self, name: str) -> int:
        """Add a phase that was not known at the start, and return its index."""
        self.phases.append(name)
        self.itls.append(array("f"))
        return len(self.phases) - 1

    def add(self, asked: Asked, answer: Answer, start: float) -> None:
        """Add one request.

        Args:
            asked: what was asked.
            answer: what came back.
            start: of the load, on the clock of the answer.
        """
        times = answer.tokens_at
        self.due.append(asked.due)
        self.sent.append(answer.sent - start)
        self.ttft.append(times[0] - answer.sent if times else math.nan)
        self.duration.append(answer.finished - answer.sent)
        self.connect.append(math.nan if answer.connected is None else answer.connected - answer.sent)
        self.itl.append((times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else math.nan)
        self.output_tokens.append(answer.tokens)
        self.pieces.append(len(times))
        self.prompt_tokens.append(_NONE if answer.prompt_tokens is None else answer.prompt_tokens)
        self.cached_tokens.append(_NONE if answer.cached_tokens is None else answer.cached_tokens)
        self.reusable_tokens.append(asked.reusable_tokens)
        self.cause.append(_NONE if answer.cause is None else CAUSES.index(answer.cause))
        self.phase.append(asked.phase)
        self.session.append(asked.session)
        self.step.append(asked.step)
        if answer.cause is not None:
            self._fail(answer.cause, answer.detail)
            return
        self._pace(asked.phase, times, start)
        self.no_usage += answer.output_tokens is None
        if self.actions is not None:
            self.actions += has_action(answer.text)
        if asked.id:
            self.texts[asked.id] = answer.text

    def _fail(self, cause: Cause, detail: str) -> None:
        known = self.details.setdefault(cause, [])
        if len(known) < _QUOTED and detail not in known:
            known.append(detail)

    def _pace(self, phase: int, times: list[float], start: float) -> None:
        if len(times) < 2:  # noqa: PLR2004  a gap needs two
            return
        if (missing := int(times[-1] - start) + 1 - len(self.pace_sum)) > 0:
            self.pace_sum.extend([0.0] * missing)
            self.pace_count.extend([0] * missing)
        sums, counts, itls = self.pace_sum, self.pace_count, self.itls[phase]
        for earlier, later in pairwise(times):
            gap = later - earlier
            second = int(later - start)
            sums[second] += gap
            counts[second] += 1
            itls.append(gap)

    def late(self, row: int) -> bool:
        """Whether a request was sent noticeably after its time."""
        return self.sent[row] - self.due[row] > LATE_SECONDS

    def succeeded(self, row: int) -> bool:
        """Whether a request was answered in full."""
        return self.cause[row] == _NONE
