"""What the model schedules (requests) and what it reports (progress)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Phase(Enum):
    """Where a request is in its life."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Request:
    """One request; the first five attributes are the caller's, the rest is written by the engine.

    Times are in seconds of the engine's virtual clock.

    Attributes:
        prompt_tokens: Length of the prompt, at least 1.
        output_tokens: Tokens it will generate, at least 1.
        arrival: When it came.
        finish_reason: Why it ends: `stop` or `length`; the engine makes it `abort` when it is cancelled.
        prefix: Hash of the prompt up to the end of each full block; empty where nothing can be reused.
        scheduled_at: When it first left the queue.
        first_token_at: When its first token was done.
        last_token_at: When its latest token was done, as far as it is known without asking the engine: at the
            first token, at a preemption, and at the end.
        finished_at: When it ended.
        cached_tokens: Prompt tokens found in the prefix cache when it first left the queue.
        preemptions: How often it lost its blocks.
    """

    prompt_tokens: int
    output_tokens: int
    arrival: float
    finish_reason: str = "stop"
    prefix: Sequence[int] = ()
    phase: Phase = Phase.WAITING
    scheduled_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    cached_tokens: int = 0
    preemptions: int = 0
    # The engine's own books; while it decodes `computed` and `generated` are those of iteration `joined` (DecodeSet).
    computed: int = 0
    generated: int = 0
    joined: int = 0
    finish_iteration: int = -1
    cached_blocks: list[int] = field(default_factory=list)

    @property
    def target(self) -> int:
        """Tokens a prefill must compute: the prompt, and after a preemption what it had generated too."""
        return self.prompt_tokens + self.generated


@dataclass(frozen=True, slots=True)
class Progress:
    """What one run of identical iterations did.

    Attributes:
        start: When it began.
        end: When it ended.
        iterations: Iterations in the run; more than one only where nothing but decoding happened.
        decoded: Sequences that gained one token in each iteration.
        prefill_tokens: Prompt tokens computed.
        scheduled: Requests that left the queue for the first time.
        first_tokens: Requests whose prefill ended for the first time: each gained its first token at `end`.
        resumed: Requests whose prefill ended after a preemption, each with the seconds since its previous token.
        finished: Requests that ended, by themselves or by `cancel`.
    """

    start: float
    end: float
    iterations: int
    decoded: int
    prefill_tokens: int
    scheduled: tuple[Request, ...]
    first_tokens: tuple[Request, ...]
    resumed: tuple[tuple[Request, float], ...]
    finished: tuple[Request, ...]

    @property
    def inter_token_seconds(self) -> float:
        """Time between two tokens of each decoding sequence."""
        return (self.end - self.start) / self.iterations
